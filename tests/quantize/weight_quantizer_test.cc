// The parallel quantizer against the scalar definition, and what it refuses.
#include "talon/quantize/weight_quantizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "talon/base/error.h"
#include "talon/numeric/bf16.h"
#include "talon/numeric/nvfp4.h"

namespace talon {
namespace {

using ::testing::HasSubstr;

// More weights than one task takes, and every finite BF16 value among them.
std::vector<uint16_t> EveryFiniteWeight() {
  std::vector<uint16_t> weights;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    if ((bits & 0x7FFF) < 0x7F80) weights.push_back(static_cast<uint16_t>(bits));
  }
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  while (weights.size() < 200000) weights.push_back(FloatToBf16(normal(generator)));
  std::shuffle(weights.begin(), weights.end(), generator);
  weights.resize(weights.size() / 16 * 16);
  return weights;
}

TensorView View(const std::vector<uint16_t>& weights) {
  TensorView view;
  view.name = "fc.weight";
  view.dtype = DType::kBF16;
  view.shape = {static_cast<int64_t>(weights.size() / 16), 16};
  view.bytes = std::as_bytes(std::span(weights));
  return view;
}

TEST(WeightQuantizer, GivesTheBytesOfTheDefinitionForAnyNumberOfThreads) {
  const std::vector<uint16_t> weights = EveryFiniteWeight();
  for (const float tensor_scale : {0.3f / 2688.0f, 3e38f / 2688.0f, 1e-38f, 1.0f}) {
    std::vector<uint8_t> packed(weights.size() / 2);
    std::vector<uint8_t> scales(weights.size() / 16);
    QuantizeNvfp4(weights, tensor_scale, packed.data(), scales.data());
    for (const int num_threads : {1, 2, 3}) {
      ThreadPool pool(num_threads);
      std::vector<uint8_t> our_packed(packed.size());
      std::vector<uint8_t> our_scales(scales.size());
      ComputeBlockScales(pool, weights, tensor_scale, our_scales);
      PackWeights(pool, weights, tensor_scale, our_scales, our_packed);
      EXPECT_EQ(our_scales, scales);
      EXPECT_EQ(our_packed, packed);
    }
  }
}

TEST(WeightQuantizer, AmaxIsTheLargestMagnitude) {
  ThreadPool pool(2);
  std::vector<uint16_t> weights(160000, FloatToBf16(0.5f));
  weights[123456] = FloatToBf16(-3.25f);
  EXPECT_EQ(WeightAmax(pool, View(weights)), 3.25f);
  EXPECT_EQ(WeightAmax(pool, View(std::vector<uint16_t>(32, 0x8000))), 0.0f);
}

TEST(WeightQuantizer, RefusesNonFiniteWeightsByTensorAndIndex) {
  ThreadPool pool(2);
  for (const uint16_t bad : {0x7F80, 0xFF80, 0x7FC0, 0xFFFF}) {
    std::vector<uint16_t> weights(160000, 0);
    weights[150001] = bad;
    try {
      WeightAmax(pool, View(weights));
      FAIL() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDataLoss);
      EXPECT_THAT(error.what(), HasSubstr("'fc.weight'"));
      EXPECT_THAT(error.what(), HasSubstr("element 150001"));
    }
  }
}

}  // namespace
}  // namespace talon
