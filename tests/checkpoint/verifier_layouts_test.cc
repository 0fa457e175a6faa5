// Development check: verifiers written by compressed-tensors and nvidia-modelopt themselves.
// Talon's binding of every linear must give the tool's own dequantization. Needs the folder that
// scripts/dev/write_verifier_layouts.py writes, named by $TALON_VERIFIER_LAYOUTS.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "talon/checkpoint/linear_weights.h"
#include "talon/checkpoint/quantization_config.h"
#include "talon/checkpoint/read_config.h"
#include "talon/numeric/nvfp4.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

// compressed-tensors divides by its global scale where Talon multiplies by the rounded reciprocal.
constexpr double kReciprocalTolerance = 3.0 * 0x1p-24;

double LargestRelativeDifference(const HostLinear& linear, const TensorView& expected) {
  const int64_t cols = linear.in_features;
  std::vector<float> row(static_cast<size_t>(cols));
  std::vector<float> expected_row(row.size());
  double largest = 0;
  for (int64_t r = 0; r < linear.out_features; ++r) {
    DequantizeNvfp4(static_cast<const uint8_t*>(linear.data) + r * cols / 2,
                    linear.block_scales + r * cols / 16, linear.weight_scale, row);
    std::memcpy(expected_row.data(), expected.bytes.data() + 4 * r * cols, 4 * row.size());
    for (size_t c = 0; c < row.size(); ++c) {
      const double difference = std::abs(double{row[c]} - double{expected_row[c]});
      largest = std::max(largest, difference / std::max(std::abs(double{expected_row[c]}), 1e-30));
    }
  }
  return largest;
}

// Compares every linear of one layout's folder and returns how many there are.
int CompareLayout(const std::filesystem::path& folder, double tolerance) {
  const TensorStore store = TensorStore::Open(folder);
  const TensorStore reference = TensorStore::OpenFile(folder / "reference.safetensors");
  const GemmaConfig config = ReadGemmaConfig(folder, store);
  EXPECT_EQ(config.tensor_prefix, "model.language_model.");
  int num_linears = 0;
  for (const auto& [name, expected] : reference.tensors()) {
    const std::string stem = "weight.model.";
    if (!name.starts_with(stem)) continue;
    SCOPED_TRACE(name);
    const HostLinear linear = BindLinear(store, config.tensor_prefix + name.substr(stem.size()),
                                         expected.shape[0], expected.shape[1]);
    EXPECT_EQ(linear.format, LinearFormat::kNvfp4);
    EXPECT_GT(linear.input_scale, 0.0f);
    EXPECT_LE(LargestRelativeDifference(linear, expected), tolerance);
    ++num_linears;
  }
  return num_linears;
}

class VerifierLayouts : public testing::Test {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("TALON_VERIFIER_LAYOUTS");
    if (folder == nullptr) GTEST_SKIP() << "needs $TALON_VERIFIER_LAYOUTS";
    root_ = folder;
  }
  std::filesystem::path root_;
};

TEST_F(VerifierLayouts, CompressedTensorsHasAllLinears) {
  const std::filesystem::path folder = root_ / "compressed-tensors";
  EXPECT_EQ(ReadQuantizationConfig(folder)->algorithm, "nvfp4-pack-quantized");
  EXPECT_EQ(CompareLayout(folder, kReciprocalTolerance),
            6 * 7 + 2 * 6);  // full layers have no v_proj
}

TEST_F(VerifierLayouts, ModelOptHasTheMlpsAndKvScales) {
  const std::filesystem::path folder = root_ / "modelopt";
  const auto quantization = ReadQuantizationConfig(folder);
  EXPECT_EQ(quantization->algorithm, "NVFP4");
  EXPECT_EQ(quantization->kv_cache, "FP8");
  EXPECT_EQ(CompareLayout(folder, 0.0), 8 * 3);
  const TensorStore store = TensorStore::Open(folder);
  const HostLinear key =
      BindLinear(store, "model.language_model.layers.0.self_attn.k_proj", 128, 384);
  EXPECT_EQ(key.format, LinearFormat::kBF16);
}

}  // namespace
}  // namespace talon
