// Drafts from every position of a text whose true features are known: the drafter's first pass
// covers the text once, then each start position goes on alone in a branch that shares the text's
// KV pages up to its start. Calibration (self-fed steps) and the every-position acceptance estimate
// are made of this.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "talon/engine/draft_runner.h"

namespace talon {

class BranchDrafter {
 public:
  // Holds KV for one text of up to `max_positions` and `max_branches` branches of up to
  // `max_drafts`.
  BranchDrafter(Backend& backend, const Drafter& drafter, DType kv_dtype, int64_t max_positions,
                int64_t max_branches, int64_t max_drafts);

  // tokens [n + 1], features [n, feature_size] of positions 0 .. n - 1: runs the first pass and
  // then drafts num_drafts tokens from each position in `starts` (ascending, < n). Returns drafts
  // per start.
  DraftIds Draft(std::span<const int32_t> tokens, const Tensor& features,
                 std::span<const int64_t> starts, int64_t num_drafts);

  void SetStepListener(StepListener* listener) { runner_.SetStepListener(listener); }

 private:
  DraftIds DraftBranches(const Tensor& states, std::span<const int64_t> starts, int64_t num_drafts);

  Backend& backend_;
  const Drafter& drafter_;
  DraftRunner runner_;
  int64_t max_positions_;
  int64_t max_branches_;
  int64_t branch_pages_;
  SequencePages text_pages_;
  KvLayer cache_;
  Arena arena_;
};

}  // namespace talon
