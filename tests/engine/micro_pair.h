// A pair small enough for hundreds of requests: the random Gemma 4 fixture (window 16, 512
// positions, 512 tokens) and a drafter made for it here, whose drafts are right about half of the
// time. Every draft depends on all of the drafter's KV.
#pragma once

#include <memory>
#include <vector>

#include "talon/model/load.h"
#include "tests/engine/answers.h"
#include "tests/support/test_data.h"

namespace talon::test {

struct MicroPair {
  TempDir directory;  // of the drafter
  std::unique_ptr<Backend> backend;
  LoadedVerifier verifier;
  LoadedDrafter drafter;

  explicit MicroPair(int threads = 1) : MicroPair(MakeBackend({"cpu", threads})) {}
  explicit MicroPair(std::unique_ptr<Backend> own_backend);
};

// Ids within the micro vocabulary.
std::vector<int32_t> MicroIds(uint32_t seed, int64_t count);

GenerationRequest MicroRequest(std::vector<int32_t> prompt_ids, int64_t max_tokens,
                               double temperature = 0.0, uint64_t seed = 0);

// A mix of greedy and seeded requests, some with a common start; prompts of 1 to 240 tokens,
// three of four answers up to 256.
std::vector<GenerationRequest> MixedRequests(uint32_t seed, int count);

// An engine over the pair that runs `requests` to their end.
std::vector<GenerationResult> Answer(const MicroPair& pair, const EngineOptions& options,
                                     std::vector<GenerationRequest> requests,
                                     EngineCounters* counters = nullptr);

}  // namespace talon::test
