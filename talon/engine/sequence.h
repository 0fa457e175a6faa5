// The engine's record of one request, and of one step's work. Internal to the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "talon/engine/batch_builder.h"
#include "talon/engine/engine.h"
#include "talon/engine/token_chooser.h"
#include "talon/engine/token_history.h"

namespace talon {

struct Engine::Sequence {
  int64_t id = 0;
  GenerationRequest request;
  std::vector<int32_t> tokens;  // prompt and committed answer
  std::vector<int32_t> drafts;  // to be verified in the next step
  int64_t num_computed = 0;     // positions whose verifier KV is final
  int64_t num_generated = 0;
  FinishReason finish_reason = FinishReason::kNone;
  SequencePages pages;
  std::unique_ptr<TokenHistory> history;       // null: nothing changes the logits
  std::vector<TokenLogprobs> prompt_logprobs;  // until the first output
  int64_t num_prompt_logprobs = 0;             // known so far

  int64_t prompt_size() const { return static_cast<int64_t>(request.prompt_ids.size()); }
  bool prefilling() const { return num_computed < prompt_size(); }
  bool finished() const { return finish_reason != FinishReason::kNone; }
};

struct Engine::StepItem {
  Sequence* sequence = nullptr;
  int64_t first_row = 0;             // in the verifier batch
  int64_t num_rows = 0;              // prefill: chunk size; decode: 1 + drafts
  bool samples = false;              // false for a chunk that does not end the prompt
  int64_t first_prompt_logprob = 0;  // in `choices`
  int64_t num_prompt_logprobs = 0;
  int64_t first_choice = 0;  // in `choices`, when it samples
  int64_t num_choices = 0;   // decode: num_rows; end of prefill: 1
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
};

}  // namespace talon
