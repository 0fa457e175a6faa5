// Gemma 3 and Gemma 4 against Hugging Face transformers (tests/data/gemma3, gemma4-dense).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "talon/base/json.h"
#include "talon/checkpoint/safetensors.h"
#include "tests/model/verifier_harness.h"
#include "tests/support/tensor_values.h"
#include "tests/support/test_data.h"

namespace talon::test {
namespace {

// input_ids [2, 96] as two sequences.
TokenLists Sequences(const TensorStore& reference) {
  const auto ids = Values<int32_t>(reference, "input_ids");
  const auto middle = ids.begin() + static_cast<int64_t>(ids.size() / 2);
  return {{ids.begin(), middle}, {middle, ids.end()}};
}

std::vector<float> Joined(const FloatLists& parts) {
  std::vector<float> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

class GemmaFixture : public testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path directory() const { return TestData(GetParam()); }
  TensorStore reference() const {
    return TensorStore::OpenFile(directory() / "reference.safetensors");
  }
};

TEST_P(GemmaFixture, Float32AgreesWithTransformersInEveryLayer) {
  const TensorStore expected = reference();
  VerifierHarness harness(directory(), DType::kF32);
  FloatLists hidden;
  const FloatLists logits = harness.RunWhole(Sequences(expected), &hidden);
  EXPECT_LT(RelativeError(Joined(logits), Values<float>(expected, "logits_fp32")), 1e-5);
  // The reference holds the inputs of all layers and the final norm's output; ours has the last
  // layer's raw output in between.
  const int64_t layers = harness.model().config().num_layers();
  ASSERT_EQ(static_cast<int64_t>(hidden.size()), layers + 2);
  hidden.erase(hidden.begin() + layers);
  for (size_t i = 0; i < hidden.size(); ++i) {
    const auto name = fmt::format("hidden_states.{}", i);
    EXPECT_LT(RelativeError(hidden[i], Values<float>(expected, name)), 1e-5) << name;
  }
}

TEST_P(GemmaFixture, BFloat16IsAsCloseToFloat32AsTransformers) {
  const TensorStore expected = reference();
  const double theirs = ReadJsonFile(directory() / "about.json").at("bf16_relative_error");
  VerifierHarness harness(directory(), DType::kBF16);
  FloatLists hidden;
  const FloatLists logits = harness.RunWhole(Sequences(expected), &hidden);
  const double ours = RelativeError(Joined(logits), Values<float>(expected, "logits_fp32"));
  RecordProperty("relative_error", fmt::format("{:.6f} (transformers {:.6f})", ours, theirs));
  EXPECT_LE(ours, 1.25 * theirs);
  EXPECT_GT(ours, 0.1 * theirs) << "BF16 mode does not round";
}

INSTANTIATE_TEST_SUITE_P(Families, GemmaFixture, testing::Values("gemma4-dense", "gemma3"));

}  // namespace
}  // namespace talon::test
