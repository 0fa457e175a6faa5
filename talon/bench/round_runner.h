// One speculative round as two recordings: the drafter's first pass, keyed by its rows, and the
// rest (k - 1 draft steps, verification), keyed by k. Tokens, states and features stay in backend
// memory; a round copies its lengths in and the chosen tokens out. Contexts do not grow, so that
// every round reads the same keys and values.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "talon/bench/bench_models.h"
#include "talon/bench/device_batch.h"

namespace talon {

class RoundRunner {
 public:
  // `drafter` may be null when num_drafts is 0: plain decoding.
  RoundRunner(const GemmaModel& verifier, const Eagle3Drafter* drafter, KvLayers& verifier_cache,
              KvLayer* drafter_cache, int64_t num_sequences, int64_t num_drafts, int64_t context,
              int64_t pages_per_sequence);
  ~RoundRunner();

  // Drafts after `accepted[s]` drafts were accepted in the round before, and verifies.
  void Run(const std::vector<int32_t>& accepted);

 private:
  struct Recorded {
    std::unique_ptr<Arena> arena;
    std::unique_ptr<RecordedOps> recording;
  };
  Recorded Record(const std::function<void(Arena&)>& ops);
  void SetControl(const std::vector<int32_t>& accepted);
  void FirstPass(int64_t rows, Arena& arena);
  void Choose(const Tensor& states, int64_t draft, Arena& arena);
  void Rest(Arena& arena);
  void Verify(const int32_t* tokens, Arena& arena);
  int32_t* Ints(const Buffer& buffer) const { return static_cast<int32_t*>(buffer.get()); }
  Tensor Column(int32_t* ints, int64_t count) const { return {ints, DType::kI32, count, 1, 1}; }

  const GemmaModel& verifier_;
  const Eagle3Drafter* drafter_;
  Backend& backend_;
  KvLayers& verifier_cache_;
  KvLayer* drafter_cache_;
  int64_t sequences_, drafts_, context_, verify_rows_;
  DeviceBatch first_;
  std::vector<DeviceBatch> steps_;
  DeviceBatch verify_;
  // Control: first pass' rows of the verification [verify_rows], last of them [sequences], last
  // rows of the first pass [sequences].
  std::vector<int32_t> host_control_;
  Buffer control_;
  Buffer verify_index_;  // [verify_rows] into tokens_
  Buffer tokens_;        // [1 + drafts, sequences]: last token, then drafts
  Buffer results_;       // chosen [verify_rows], accepted [sequences]
  Buffer feature_memory_, state_memory_;
  Tensor features_;  // [verify_rows, feature_size]
  Tensor states_;    // [sequences, hidden]
  std::vector<int32_t> host_results_;
  std::map<int64_t, Recorded> first_passes_;  // by rows
  Recorded rest_;
};

}  // namespace talon
