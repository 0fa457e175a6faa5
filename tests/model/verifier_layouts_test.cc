// Development check: logits of verifiers written by compressed-tensors and nvidia-modelopt, against
// transformers running on the tools' own dequantization. Needs the folder that
// scripts/dev/write_verifier_layouts.py writes, named by $TALON_VERIFIER_LAYOUTS.
#include <gtest/gtest.h>

#include <cstdlib>

#include "talon/checkpoint/safetensors.h"
#include "tests/model/verifier_harness.h"
#include "tests/support/tensor_values.h"
#include "tests/support/test_data.h"

namespace talon::test {
namespace {

class VerifierLayout : public testing::TestWithParam<const char*> {};

TEST_P(VerifierLayout, LogitsAgreeWithTheToolsDequantization) {
  const char* root = std::getenv("TALON_VERIFIER_LAYOUTS");
  if (root == nullptr) GTEST_SKIP() << "needs $TALON_VERIFIER_LAYOUTS";
  const std::filesystem::path folder = std::filesystem::path(root) / GetParam();
  const TensorStore expected = TensorStore::OpenFile(folder / "reference.safetensors");
  VerifierHarness harness(folder, DType::kF32);
  FloatLists hidden;
  const FloatLists logits = harness.RunWhole({Values<int32_t>(expected, "input_ids")}, &hidden);
  const double error = RelativeError(logits.at(0), Values<float>(expected, "logits_fp32"));
  RecordProperty("relative_error", std::to_string(error));
  EXPECT_LT(error, 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Tools, VerifierLayout, testing::Values("compressed-tensors", "modelopt"));

}  // namespace
}  // namespace talon::test
