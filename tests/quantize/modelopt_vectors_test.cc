// The scalar definition against vectors that ModelOpt itself made: ties, denormals, zero blocks,
// saturation, underflow, given amax values, wide ranges.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "talon/base/json.h"
#include "talon/checkpoint/safetensors.h"
#include "talon/numeric/bf16.h"
#include "talon/numeric/e4m3.h"
#include "talon/numeric/nvfp4.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using ::testing::Each;

constexpr size_t kRows = 64;
constexpr size_t kColumns = 256;
constexpr size_t kBlocks = kColumns / 16;

// True beside a threshold of E2M1, where the last bit of an FP32 quotient decides.
bool IsRoundingTie(double ratio) {
  for (const double threshold : {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0}) {
    if (std::abs(ratio - threshold) < 1e-6 * threshold) return true;
  }
  return false;
}

class ModelOptVectors : public ::testing::Test {
 protected:
  ModelOptVectors()
      : folder_(test::TestData("modelopt-nvfp4-drafter/vectors")),
        file_(folder_ / "vectors.safetensors") {}

  template <typename T>
  std::span<const T> Row(const std::string& name, size_t row, size_t columns) const {
    const TensorView& tensor = file_.tensors().at(name);
    EXPECT_EQ(tensor.bytes.size(), kRows * columns * sizeof(T));
    return {reinterpret_cast<const T*>(tensor.bytes.data()) + row * columns, columns};
  }

  // What ModelOpt stored for a zero tensor, NaN scales, is not followed.
  bool IsZeroRow(const std::string& kind, size_t row) const {
    return Row<float>(kind + ".ws2", row, 1)[0] == 0.0f;
  }

  std::filesystem::path folder_;
  SafetensorsFile file_;
};

TEST_F(ModelOptVectors, Bf16RowsGiveTheSameBytes) {
  int num_zero_rows = 0;
  for (size_t row = 0; row < kRows; ++row) {
    SCOPED_TRACE(row);
    const float amax = Row<float>("bf16.amax", row, 1)[0];
    const float tensor_scale = Nvfp4TensorScale(amax, ScaleDivision::kIeee);
    std::vector<uint8_t> packed(kColumns / 2);
    std::vector<uint8_t> scales(kBlocks);
    QuantizeNvfp4(Row<uint16_t>("input_bf16", row, kColumns), tensor_scale, packed.data(),
                  scales.data());
    if (IsZeroRow("bf16", row)) {
      ++num_zero_rows;
      EXPECT_EQ(tensor_scale, 6.0f / 2688.0f);
      EXPECT_THAT(scales, Each(0x38));
      EXPECT_THAT(packed, Each(0));
      continue;
    }
    EXPECT_EQ(tensor_scale, Row<float>("bf16.ws2", row, 1)[0]);
    EXPECT_THAT(scales, ::testing::ElementsAreArray(Row<uint8_t>("bf16.scale", row, kBlocks)));
    EXPECT_THAT(packed,
                ::testing::ElementsAreArray(Row<uint8_t>("bf16.packed", row, kColumns / 2)));
  }
  EXPECT_EQ(num_zero_rows, 3);
}

// FP32 weights: everything in FP32.
TEST_F(ModelOptVectors, Fp32RowsGiveTheSameBytes) {
  for (size_t row = 0; row < kRows; ++row) {
    SCOPED_TRACE(row);
    if (IsZeroRow("f32", row)) continue;
    const float amax = Row<float>("f32.amax", row, 1)[0];
    const float tensor_scale = Nvfp4TensorScale(amax, ScaleDivision::kIeee);
    EXPECT_EQ(tensor_scale, Row<float>("f32.ws2", row, 1)[0]);
    const auto values = Row<float>("input_f32", row, kColumns);
    for (size_t block = 0; block < kBlocks; ++block) {
      float block_amax = 0.0f;
      for (size_t i = 0; i < 16; ++i) {
        block_amax = std::max(block_amax, std::abs(values[16 * block + i]));
      }
      const uint8_t scale = Nvfp4BlockScale(block_amax, tensor_scale);
      EXPECT_EQ(scale, Row<uint8_t>("f32.scale", row, kBlocks)[block]);
      uint8_t packed[8];
      EncodeNvfp4Block(values.data() + 16 * block, scale, tensor_scale, packed);
      EXPECT_EQ(
          0, std::memcmp(packed, Row<uint8_t>("f32.packed", row, kColumns / 2).data() + 8 * block,
                         sizeof(packed)));
    }
  }
}

TEST_F(ModelOptVectors, DequantizedValuesAreTheSame) {
  for (size_t row = 0; row < kRows; ++row) {
    SCOPED_TRACE(row);
    if (IsZeroRow("bf16", row)) continue;
    std::vector<float> out(kColumns);
    DequantizeNvfp4(Row<uint8_t>("bf16.packed", row, kColumns / 2).data(),
                    Row<uint8_t>("bf16.scale", row, kBlocks).data(),
                    Row<float>("bf16.ws2", row, 1)[0], out);
    const auto expected = Row<float>("bf16.dequant_f32", row, kColumns);
    for (size_t i = 0; i < kColumns; ++i) ASSERT_EQ(out[i], expected[i]) << i;
  }
}

// ModelOpt's emulation of quantized activations, rounded to BF16. It drops blocks whose scale times
// the global scale is below 1e-5, which neither vLLM nor hardware does (specs/nvfp4.md 0.1 item 9).
TEST_F(ModelOptVectors, ActivationCodesAgreeWithModelOptEmulation) {
  int64_t num_compared = 0;
  int64_t num_different = 0;
  for (size_t row = 0; row < kRows; ++row) {
    const float amax = Row<float>("bf16.amax", row, 1)[0];
    if (IsZeroRow("bf16", row)) continue;
    const float input_scale = amax / 2688.0f;
    const auto values = Row<uint16_t>("input_bf16", row, kColumns);
    const auto expected = Row<uint16_t>("bf16.act_fake_quant", row, kColumns);
    for (size_t block = 0; block < kBlocks; ++block) {
      float x[16];
      float block_amax = 0.0f;
      for (size_t i = 0; i < 16; ++i) {
        x[i] = Bf16ToFloat(values[16 * block + i]);
        block_amax = std::max(block_amax, std::abs(x[i]));
      }
      const float scale = DecodeE4m3(ActivationBlockScale(block_amax, input_scale));
      if (scale * input_scale < 1e-5f) continue;
      float out[16];
      QuantizeActivationBlock(x, input_scale, out);
      for (size_t i = 0; i < 16; ++i) {
        ++num_compared;
        const float theirs = Bf16ToFloat(expected[16 * block + i]);
        if (RoundToBf16(out[i] * input_scale) == theirs) continue;
        ++num_different;
        const double ratio = std::abs(static_cast<double>(x[i])) /
                             (static_cast<double>(scale) * static_cast<double>(input_scale));
        EXPECT_TRUE(IsRoundingTie(ratio)) << ratio;
      }
    }
  }
  EXPECT_GT(num_compared, 5000);
  EXPECT_LE(num_different, num_compared / 1000);
}

}  // namespace
}  // namespace talon
