// The engine's record of one request, and of one step's work. Internal to the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "talon/engine/batch_builder.h"
#include "talon/engine/deferred_features.h"
#include "talon/engine/engine.h"
#include "talon/engine/prefix_cache.h"
#include "talon/engine/token_chooser.h"
#include "talon/engine/token_history.h"

namespace talon {

struct Engine::Sequence {
  int64_t id = 0;
  GenerationRequest request;
  std::vector<int32_t> tokens;  // prompt and committed answer
  std::vector<int32_t> drafts;  // to be verified in the next step
  int64_t num_computed = 0;     // positions whose verifier KV is final
  int64_t num_drafted = 0;      // positions whose drafter KV is final
  int64_t num_emitted = 0;      // positions whose features went to the sink
  int64_t num_generated = 0;
  int64_t num_cached = -1;     // prompt tokens found in the prefix cache; -1: never admitted
  int64_t scheduled_rows = 0;  // in the step at hand
  FinishReason finish_reason = FinishReason::kNone;
  SequencePages pages;
  PrefixState prefix;
  DeferredRows deferred;                       // of positions [num_drafted, num_drafted + rows)
  bool drafter_is_left = false;                // it does not read on, and there are no more drafts
  std::unique_ptr<TokenHistory> history;       // null: nothing changes the logits
  std::vector<TokenLogprobs> prompt_logprobs;  // until the first output
  int64_t num_prompt_logprobs = 0;             // known so far

  int64_t prompt_size() const { return static_cast<int64_t>(request.prompt_ids.size()); }
  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  // Committed tokens without KV: 1 while decoding; more in the prompt and after a preemption.
  int64_t num_pending() const { return num_tokens() - num_computed; }
  bool decoding() const { return num_pending() == 1; }
  bool finished() const { return finish_reason != FinishReason::kNone; }
};

struct Engine::StepItem {
  Sequence* sequence = nullptr;
  int64_t first_row = 0;             // in the verifier batch
  int64_t num_rows = 0;              // decode: 1 + drafts; else a chunk of the tokens without KV
  bool samples = false;              // the rows reach the last committed token
  int64_t first_prompt_logprob = 0;  // in `choices`
  int64_t num_prompt_logprobs = 0;
  int64_t first_choice = 0;  // in `choices`, when it samples
  int64_t num_choices = 0;   // the last committed token's row and those of the drafts
  int64_t accepted = 0;
  int64_t committed_rows = 0;  // rows whose KV and features are final
};

struct Engine::Step_ {
  using Item = StepItem;
  std::vector<Item> items;
  BatchBuilder builder;
  Tensor hidden;    // [rows, hidden]
  Tensor features;  // [rows, aux layers * hidden]
  Choices choices;  // of all rows that choose or report, item by item
  // All rows belong to sequences that decode: the step's times say what such a step costs.
  bool decodes_only() const;
};

}  // namespace talon
