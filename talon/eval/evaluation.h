// One drafter on recorded traces: replay, the every-position estimate, and decodes through the
// engine that must agree with the replay.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "talon/eval/eval_report.h"
#include "talon/eval/live.h"
#include "talon/eval/trace_store.h"
#include "talon/model/drafter.h"
#include "talon/model/gemma.h"

namespace talon {

struct EvaluationOptions {
  std::vector<int64_t> num_speculative_tokens = {5};
  int64_t max_positions = 0;  // of verifier and drafters
  int64_t timed_prompts = 1;  // of each category, decoded one at a time with and without drafts
  bool live = false;          // decode all prompts through the engine, live_batch at a time
  int64_t live_batch = 32;
};

class Evaluation {
 public:
  // `keys` in data order.
  Evaluation(const GemmaModel& verifier, const TraceStore& store, std::vector<TraceKey> keys,
             const EvaluationOptions& options);

  // Decodes the timed prompts without drafts. Throws kInternal when a text differs from its trace.
  DecodeSpeeds TimeWithoutDrafts() const;

  // One run per k. `description` gives label, path, identity and numerics. Throws kInternal, naming
  // prompts, when a decode differs from its trace or its replay.
  std::vector<DrafterRun> Evaluate(const Drafter& drafter, const DrafterRun& description) const;

  int64_t answer_tokens() const { return answer_tokens_; }
  const std::vector<TraceKey>& keys() const { return keys_; }

 private:
  void Replay(const Drafter& drafter, std::vector<DrafterRun>& runs) const;
  void TimeWithDrafts(const Drafter& drafter, DrafterRun& run) const;
  void CheckLive(const Drafter& drafter, DrafterRun& run) const;
  DecodeSpeeds SpeedsOf(const LiveRun& run) const;
  std::vector<std::vector<Round>> RoundsOf(const DrafterRun& run,
                                           std::span<const TraceKey> keys) const;
  int64_t PositionsNeeded(int64_t k) const;

  const GemmaModel& verifier_;
  const TraceStore& store_;
  std::vector<TraceKey> keys_;
  std::vector<TraceKey> timed_keys_;
  EvaluationOptions options_;
  int64_t answer_tokens_ = 0;
  int64_t longest_prompt_ = 0;
};

}  // namespace talon
