#include "tests/engine/demo_pair.h"

#include <random>

#include "tests/support/test_data.h"

namespace talon::test {

DemoPair::DemoPair(int threads) : backend(MakeBackend({TestDevice(), threads})) {
  verifier = LoadVerifier(*backend, DemoPath("verifier"), {DType::kBF16});
  drafter = LoadDrafter(DemoPath("drafter"), {DType::kBF16}, *verifier.model);
}

GenerationRequest RandomRequest(uint32_t seed, double temperature, int64_t max_tokens) {
  std::mt19937 random(seed);
  GenerationRequest request;
  request.prompt_ids = {2};
  const int64_t length = 20 + static_cast<int64_t>(random() % 150);
  for (int64_t i = 0; i < length; ++i) {
    request.prompt_ids.push_back(static_cast<int32_t>(300 + random() % 4000));
  }
  request.max_tokens = max_tokens;
  request.sampling.temperature = temperature;
  request.sampling.top_k = 64;
  request.sampling.top_p = 0.95;
  request.sampling.seed = seed;
  return request;
}

}  // namespace talon::test
