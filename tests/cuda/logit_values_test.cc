// Adjusted logits and log-probabilities on the device: the CPU's bits and the CPU's values.
#include <cmath>

#include "tests/cuda/both_backends.h"
#include "tests/cuda/device_test.h"

namespace talon::cuda {
namespace {

constexpr int64_t kRows = 7;
constexpr int64_t kVocab = 5003;
constexpr int64_t kTop = 20;

std::vector<LogitAdjustment> Adjustments() {
  std::vector<LogitAdjustment> adjustments;
  for (int32_t i = 0; i < 600; ++i) {
    LogitAdjustment change;
    change.row = i % kRows;
    change.token = (i * 37) % kVocab;
    change.bias = i % 5 == 0 ? -INFINITY : 0.3f * static_cast<float>(i % 7);
    change.repetition = 1.0f + 0.07f * static_cast<float>(i % 9);
    change.frequency = 0.11f * static_cast<float>(i % 4);
    change.presence = i % 3 == 0 ? 0.7f : 0.0f;
    adjustments.push_back(change);
  }
  return adjustments;
}

TEST(AdjustLogitsTest, EqualsTheCpuBitForBit) {
  TALON_REQUIRE_GPU();
  std::mt19937 random(5);
  const std::vector<float> logits = RandomFloats(random, kRows * kVocab, 3.0f);
  const auto adjusted = [&](Backend& backend) {
    Matrix matrix(backend, DType::kF32, kRows, kVocab);
    matrix.Set(logits);
    const Array<LogitAdjustment> changes(backend, Adjustments());
    backend.AdjustLogits(matrix.tensor(), changes.get(), 600);
    return matrix.Get();
  };
  const auto cpu = cpu::MakeCpuBackend(1);
  CudaBackend gpu(0);
  EXPECT_EQ(adjusted(gpu), adjusted(*cpu));
}

TEST(LogprobsTest, NameTheCpusTokensAndValues) {
  TALON_REQUIRE_GPU();
  std::mt19937 random(6);
  std::vector<float> logits = RandomFloats(random, kRows * kVocab, 3.0f);
  logits[40] = logits[4000] = 30.0f;  // ties go to the lower id
  for (int64_t i = 0; i < kVocab - 5; ++i) logits[kVocab + i] = -INFINITY;  // few are possible
  struct Values {
    std::vector<float> chosen;
    std::vector<int32_t> tokens;
    std::vector<float> logprobs;
  };
  const auto read = [&](Backend& backend) {
    Matrix matrix(backend, DType::kF32, kRows, kVocab);
    matrix.Set(logits);
    const Array<int32_t> tokens(backend, {4000, kVocab - 1, 3, 4, 5, 6, 7});
    const Array<float> chosen(backend, std::vector<float>(kRows));
    const Array<int32_t> top(backend, std::vector<int32_t>(kRows * kTop));
    const Array<float> top_logprobs(backend, std::vector<float>(kRows * kTop));
    backend.Logprobs(matrix.tensor(), tokens.get(),
                     {kTop, chosen.get(), top.get(), top_logprobs.get()});
    return Values{chosen.Get(), top.Get(), top_logprobs.Get()};
  };
  const auto cpu = cpu::MakeCpuBackend(1);
  CudaBackend gpu(0);
  const Values expected = read(*cpu);
  const Values actual = read(gpu);
  EXPECT_EQ(actual.tokens, expected.tokens);
  EXPECT_EQ(actual.tokens[0], 40);
  for (size_t i = 0; i < expected.chosen.size(); ++i) {
    EXPECT_NEAR(actual.chosen[i], expected.chosen[i], 2e-6f);
  }
  for (size_t i = 0; i < expected.logprobs.size(); ++i) {
    if (std::isinf(expected.logprobs[i])) {
      EXPECT_EQ(actual.logprobs[i], expected.logprobs[i]);
    } else {
      EXPECT_NEAR(actual.logprobs[i], expected.logprobs[i], 2e-6f);
    }
  }
}

}  // namespace
}  // namespace talon::cuda
