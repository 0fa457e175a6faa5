// The many-row kernel against the plainest form of the K order and against the few-row kernel, bit
// for bit: mma.sync and wgmma add alike.
#include "tests/cuda/linear_problem.h"

namespace talon::cuda {
namespace {

bool HasWarpgroupProducts() {
  int major = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess &&
         major == 9;
}

class ManyRowsTest : public testing::TestWithParam<LinearCase> {};

TEST_P(ManyRowsTest, EqualsThePlainOrderAndTheFewRowKernel) {
  TALON_REQUIRE_GPU();
  if (!HasWarpgroupProducts()) GTEST_SKIP() << "needs a Hopper GPU";
  constexpr int kMostRows = 200;
  const LinearProblem problem(GetParam(), kMostRows);
  const std::vector<float> expected = problem.Reference(KOrderMutant::kNone);
  ASSERT_LT(problem.RelativeError(expected, 2), 1e-6);
  EXPECT_EQ(problem.Run(kMostRows), expected);
  for (const int rows : {1, 8, 33, 64, 65, 130, kMostRows}) {
    const std::vector<float> got = problem.RunManyRows(rows);
    ASSERT_EQ(got, std::vector<float>(expected.begin(), expected.begin() + got.size()))
        << "rows " << rows;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, ManyRowsTest,
                         testing::Values(LinearCase{LinearFormat::kNvfp4, 40, 16},
                                         LinearCase{LinearFormat::kNvfp4, 16, 48},
                                         LinearCase{LinearFormat::kNvfp4, 1000, 704},
                                         LinearCase{LinearFormat::kNvfp4, 256, 5376},
                                         LinearCase{LinearFormat::kNvfp4, 144, 21504},
                                         LinearCase{LinearFormat::kNvfp4, 35000, 256},
                                         LinearCase{LinearFormat::kBF16, 37, 32},
                                         LinearCase{LinearFormat::kBF16, 320, 5376},
                                         LinearCase{LinearFormat::kF8, 200, 2048},
                                         LinearCase{LinearFormat::kF8, 64, 96}));

}  // namespace
}  // namespace talon::cuda
