// Replays a drafter on recorded traces. What a drafter proposes at a position depends on the true
// tokens and features before it alone, so one pass drafts from every position of an answer (many
// rows at once), and the rounds of a decode are read off by walking: a round at position i that
// accepts m drafts is followed by the round at i + m + 1. The same drafts give the every-position
// estimate, and every smaller k.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "talon/engine/branch_drafter.h"
#include "talon/engine/request.h"
#include "talon/eval/trace_store.h"

namespace talon {

class Replayer {
 public:
  // Drafts up to `num_drafts` tokens a position. Throws kInvalidArgument when the store lacks one
  // of the drafter's aux layers or records too short a tail.
  Replayer(Backend& backend, const Drafter& drafter, const TraceStore& store, int64_t num_drafts);

  // drafts[i], of num_drafts tokens each, continue the prompt and answer tokens 0 .. i:
  // [answer_tokens - 1]. Empty for an answer of one token, which leaves nothing to draft.
  DraftIds Draft(const Trace& trace);

 private:
  Tensor Features(const Trace& trace, int64_t rows);

  Backend& backend_;
  const Drafter& drafter_;
  const TraceManifest& manifest_;
  int64_t num_drafts_;
  std::vector<int64_t> columns_;  // [aux layers] first column of each in a stored row
  int64_t capacity_ = 0;          // positions the branch drafter holds
  std::unique_ptr<BranchDrafter> branches_;
  std::vector<std::byte> host_features_;  // [rows, feature_size]
  Buffer features_;
  int64_t features_bytes_ = 0;
};

// The rounds a live decode with k drafts goes through. `continuation` holds answer and tail.
std::vector<Round> WalkRounds(std::span<const int32_t> continuation, const DraftIds& drafts,
                              int64_t k);

// One round per answer position that could start one.
std::vector<Round> EveryPosition(std::span<const int32_t> continuation, const DraftIds& drafts,
                                 int64_t k);

}  // namespace talon
