// The few-row kernel against the plainest form of the K order (bit for bit, every row count) and a
// float64 product; its mutants must differ.
#include "tests/cuda/linear_problem.h"

namespace talon::cuda {
namespace {

constexpr int kRows = 64;

class FewRowsTest : public testing::TestWithParam<LinearCase> {};

TEST_P(FewRowsTest, EqualsThePlainOrderForEveryRowCount) {
  TALON_REQUIRE_GPU();
  const LinearProblem problem(GetParam());
  const std::vector<float> expected = problem.Reference(KOrderMutant::kNone);
  ASSERT_LT(problem.RelativeError(expected, 4), 1e-6);
  for (int rows = 1; rows <= kRows; ++rows) {
    const std::vector<float> got = problem.Run(rows);
    ASSERT_EQ(got, std::vector<float>(expected.begin(), expected.begin() + got.size()))
        << "rows " << rows;
  }
}

TEST_P(FewRowsTest, TheCutOfALaunchChangesNoBit) {
  TALON_REQUIRE_GPU();
  const LinearProblem problem(GetParam());
  const std::vector<float> expected = problem.Run(16);
  for (const int activation_kb : {1, 20, 40}) {
    FewRowsTuning tuning;
    tuning.max_activation_bytes = activation_kb * 1024;
    tuning.max_stages = 2 + activation_kb % 3;
    EXPECT_EQ(problem.Run(16, tuning), expected) << activation_kb << " KiB";
  }
}

TEST_P(FewRowsTest, OtherOrdersDiffer) {
  TALON_REQUIRE_GPU();
  const LinearProblem problem(GetParam());
  if (problem.layout().num_leaves < 4) GTEST_SKIP() << "one order only";
  const std::vector<float> right = problem.Reference(KOrderMutant::kNone);
  EXPECT_NE(problem.Reference(KOrderMutant::kOneLeaf), right);
  EXPECT_NE(problem.Reference(KOrderMutant::kLinearTree), right);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, FewRowsTest,
    testing::Values(
        LinearCase{LinearFormat::kNvfp4, 40, 16}, LinearCase{LinearFormat::kNvfp4, 16, 48},
        LinearCase{LinearFormat::kNvfp4, 1000, 704}, LinearCase{LinearFormat::kNvfp4, 256, 5376},
        LinearCase{LinearFormat::kNvfp4, 144, 21504}, LinearCase{LinearFormat::kNvfp4, 5376, 1024},
        LinearCase{LinearFormat::kNvfp4, 15000, 256}, LinearCase{LinearFormat::kBF16, 37, 32},
        LinearCase{LinearFormat::kBF16, 320, 5376}, LinearCase{LinearFormat::kBF16, 80, 16128},
        LinearCase{LinearFormat::kF8, 200, 2048}, LinearCase{LinearFormat::kF8, 64, 96}));

TEST(Nvfp4BitsTest, PositionsArePermutationOfTheWord) {
  uint32_t seen = 0;
  for (int pair = 0; pair < 4; ++pair) {
    for (int half = 0; half < 2; ++half) {
      for (int bit = 0; bit < 4; ++bit) seen |= 1u << Nvfp4BitPosition(pair, half, bit);
    }
  }
  EXPECT_EQ(seen, 0xFFFFFFFFu);
}

}  // namespace
}  // namespace talon::cuda
