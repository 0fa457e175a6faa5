// The engine's record of one request, and of one step's work. Internal to the engine.
#pragma once

#include <cstdint>
#include <vector>

#include "talon/engine/batch_builder.h"
#include "talon/engine/engine.h"

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

  int64_t prompt_size() const { return static_cast<int64_t>(request.prompt_ids.size()); }
  bool prefilling() const { return num_computed < prompt_size(); }
  bool finished() const { return finish_reason != FinishReason::kNone; }
};

struct Engine::Step_ {
  struct Item {
    Sequence* sequence = nullptr;
    int64_t first_row = 0;     // in the verifier batch
    int64_t num_rows = 0;      // prefill: chunk size; decode: 1 + drafts
    bool samples = false;      // false for a chunk that does not end the prompt
    int64_t first_choice = 0;  // in `chosen`, when it samples
    int64_t num_choices = 0;   // decode: num_rows; end of prefill: 1
    int64_t accepted = 0;
    int64_t committed_rows = 0;  // rows whose KV and features are final
  };
  std::vector<Item> items;
  BatchBuilder builder;
  Tensor hidden;                // [rows, hidden]
  Tensor features;              // [rows, aux layers * hidden]
  std::vector<int32_t> chosen;  // tokens of all rows that choose, item by item
};

}  // namespace talon
