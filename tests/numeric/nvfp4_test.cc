// NVFP4 blocks against the golden vector and the division pairs of specs/nvfp4.md, and the edges
// that ModelOpt leaves undefined.
#include "talon/numeric/nvfp4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "talon/numeric/bf16.h"
#include "talon/numeric/e2m1.h"
#include "talon/numeric/e4m3.h"

namespace talon {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

struct Quantized {
  std::vector<uint8_t> packed;
  std::vector<uint8_t> scales;
};

Quantized Quantize(const std::vector<uint16_t>& weights, float tensor_scale) {
  Quantized result;
  result.packed.resize(weights.size() / 2);
  result.scales.resize(weights.size() / 16);
  QuantizeNvfp4(weights, tensor_scale, result.packed.data(), result.scales.data());
  return result;
}

float Scale(uint32_t bits) { return std::bit_cast<float>(bits); }

TEST(Nvfp4TensorScale, DivisionModesDifferInTheLastBit) {
  const float amax = Bf16ToFloat(0x3E99);
  EXPECT_EQ(Nvfp4TensorScale(amax, ScaleDivision::kIeee), Scale(0x38E92492));
  EXPECT_EQ(Nvfp4TensorScale(amax, ScaleDivision::kGpu), Scale(0x38E92493));
  EXPECT_EQ(Nvfp4TensorScale(2688.0f, ScaleDivision::kIeee), 1.0f);
}

// Of the BF16 values in 23 binades, 1288 give another last bit (specs/nvfp4.md 1.5).
TEST(Nvfp4TensorScale, TheModesDifferAsOftenAsPublished) {
  int differing = 0;
  for (uint16_t bits = 0; bits < 128; ++bits) {
    const float amax = Bf16ToFloat(static_cast<uint16_t>(0x3F80 + bits));
    differing +=
        Nvfp4TensorScale(amax, ScaleDivision::kIeee) != Nvfp4TensorScale(amax, ScaleDivision::kGpu)
            ? 1
            : 0;
  }
  EXPECT_EQ(differing * 23 * 2, 1288);
}

TEST(Nvfp4TensorScale, IsNeverZero) {
  EXPECT_EQ(Nvfp4TensorScale(0.0f, ScaleDivision::kIeee), 6.0f / 2688.0f);
  EXPECT_GT(Nvfp4TensorScale(0x1p-149f, ScaleDivision::kIeee), 0.0f);
  EXPECT_GT(Nvfp4TensorScale(0x1p-149f, ScaleDivision::kGpu), 0.0f);
}

TEST(Nvfp4BlockScale, DivisionModeMovesAScaleByte) {
  const auto scale = [](uint16_t amax, uint16_t block_amax, ScaleDivision division) {
    return Nvfp4BlockScale(Bf16ToFloat(block_amax), Nvfp4TensorScale(Bf16ToFloat(amax), division));
  };
  EXPECT_EQ(scale(0x3D1C, 0x3B6A, ScaleDivision::kIeee), 0x63);
  EXPECT_EQ(scale(0x3D1C, 0x3B6A, ScaleDivision::kGpu), 0x62);
  EXPECT_EQ(scale(0x3D44, 0x3B59, ScaleDivision::kIeee), 0x60);
  EXPECT_EQ(scale(0x3D44, 0x3B59, ScaleDivision::kGpu), 0x5F);
}

TEST(Nvfp4BlockScale, StaysInRangeForEveryBlockMaximum) {
  for (uint32_t bits = 0; bits < 0x7F80; ++bits) {
    const float block_amax = Bf16ToFloat(static_cast<uint16_t>(bits));
    for (const float tensor_scale : {0x1p-149f, 1e-30f, 1e-4f, 1.0f, 1e35f}) {
      const uint8_t code = Nvfp4BlockScale(block_amax, tensor_scale);
      ASSERT_GE(code, 0x01);
      ASSERT_LE(code, 0x7E);
    }
  }
  EXPECT_EQ(Nvfp4BlockScale(0.0f, 1.0f), 0x38);
}

TEST(QuantizeNvfp4, ReproducesTheGoldenVector) {
  const std::vector<uint16_t> weights = {
      0x3C72, 0x3D2C, 0x3D4B, 0x3D0A, 0x3B08, 0xBDC0, 0xBD48, 0xBD35, 0xBC99, 0x3C7F, 0x3D2E,
      0x3D4B, 0x3D08, 0x3AA2, 0xBD00, 0xBD49, 0xBB9E, 0xBB01, 0x3AEC, 0x3B9B, 0x0000, 0x3728,
      0xB728, 0xBB66, 0xBBB1, 0xBB9C, 0xBAF7, 0x3AF7, 0x3B9C, 0x3BB1, 0x3B66, 0xB84C};
  for (const ScaleDivision division : {ScaleDivision::kIeee, ScaleDivision::kGpu}) {
    const float tensor_scale = Nvfp4TensorScale(0.09375f, division);
    EXPECT_EQ(tensor_scale, Scale(0x38124925));
    const Quantized result = Quantize(weights, tensor_scale);
    EXPECT_THAT(result.scales, ElementsAre(0x7E, 0x5D));
    EXPECT_THAT(result.packed, ElementsAre(0x52, 0x45, 0xF0, 0xDD, 0x2A, 0x55, 0x04, 0xDC, 0xCF,
                                           0x74, 0x00, 0xE8, 0xFF, 0x4C, 0x77, 0x86));
  }
}

TEST(QuantizeNvfp4, AZeroTensorIsStoredAsZeros) {
  const std::vector<uint16_t> weights(32, 0x8000);
  const Quantized result = Quantize(weights, Nvfp4TensorScale(0.0f, ScaleDivision::kIeee));
  EXPECT_THAT(result.scales, Each(0x38));
  EXPECT_THAT(result.packed, Each(0));
}

TEST(QuantizeNvfp4, ErrorOfGaussianWeightsIsAsPublished) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<uint16_t> weights(1 << 16);
  float amax = 0;
  for (uint16_t& weight : weights) {
    weight = FloatToBf16(normal(generator));
    amax = std::max(amax, std::abs(Bf16ToFloat(weight)));
  }
  const float tensor_scale = Nvfp4TensorScale(amax, ScaleDivision::kIeee);
  const Quantized result = Quantize(weights, tensor_scale);
  std::vector<float> decoded(weights.size());
  DequantizeNvfp4(result.packed.data(), result.scales.data(), tensor_scale, decoded);
  double error = 0;
  double energy = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double value = Bf16ToFloat(weights[i]);
    error += (decoded[i] - value) * (decoded[i] - value);
    energy += value * value;
  }
  EXPECT_NEAR(error / energy, 0.0091, 0.0002);  // specs/nvfp4.md 7.1
}

// The definition in float64, where no rounding disturbs it, on inputs whose FP32 arithmetic is
// exact.
TEST(ActivationBlock, FollowsTheDefinitionWhereItIsExact) {
  std::mt19937 generator(2);
  std::uniform_int_distribution<int> code(0, 15);
  std::uniform_int_distribution<int> exponent(-5, 8);
  for (int trial = 0; trial < 1000; ++trial) {
    const float input_scale = std::ldexp(1.0f, exponent(generator) - 8);
    const float block_scale = std::ldexp(1.0f, exponent(generator));
    float x[16];
    for (float& value : x) {
      value = DecodeE2m1(static_cast<uint8_t>(code(generator))) * block_scale * input_scale;
    }
    x[3] = 6.0f * block_scale * input_scale;
    EXPECT_EQ(ActivationBlockScale(x[3], input_scale), EncodeE4m3(block_scale));
    float out[16];
    QuantizeActivationBlock(x, input_scale, out);
    for (int i = 0; i < 16; ++i) EXPECT_EQ(out[i] * input_scale, x[i]);
  }
}

TEST(ActivationBlock, SaturatesBeyondTheCalibratedRange) {
  float x[16] = {2688.0f * 4, -100.0f, 2688.0f, 100000.0f};
  float out[16];
  QuantizeActivationBlock(x, 1.0f, out);
  EXPECT_EQ(out[0], 2688.0f);
  EXPECT_EQ(out[1], 0.0f);  // 100 / 448 rounds to zero
  EXPECT_EQ(out[2], 2688.0f);
  EXPECT_EQ(out[3], 2688.0f);
}

TEST(ActivationBlock, VanishesWhenItsScaleRoundsToZero) {
  float x[16] = {0x1p-10f * 5.9f};
  float out[16];
  EXPECT_EQ(ActivationBlockScale(x[0], 1.0f), 0);
  QuantizeActivationBlock(x, 1.0f, out);
  EXPECT_THAT(out, Each(0.0f));
}

TEST(ActivationBlock, ResultsAreExactInBf16) {
  for (int scale = 0; scale < 0x7F; ++scale) {
    for (int code = 0; code < 16; ++code) {
      const float value =
          DecodeE2m1(static_cast<uint8_t>(code)) * DecodeE4m3(static_cast<uint8_t>(scale));
      EXPECT_EQ(RoundToBf16(value), value);
    }
  }
}

}  // namespace
}  // namespace talon
