// The start-up check passes on a sound device, and what it fails runs in its plain form, which is
// the CPU's float32 order.
#include "talon/backend/cuda/self_test.h"

#include <gmock/gmock.h>

#include "talon/backend/cpu/make_linear.h"
#include "talon/backend/cpu/reference.h"
#include "tests/cuda/both_backends.h"
#include "tests/cuda/device_test.h"

namespace talon::cuda {
namespace {

TEST(SelfTest, EveryKernelPasses) {
  TALON_REQUIRE_GPU();
  CudaBackend gpu(0);
  const std::vector<std::string> lines = RunSelfTest(gpu);
  EXPECT_EQ(lines.size(), gpu.has_warpgroup_products() ? 7u : 4u);
  EXPECT_THAT(lines, testing::Each(testing::HasSubstr(": ok")));
  EXPECT_THAT(lines[0], testing::HasSubstr("% of a plain read"));
  EXPECT_TRUE(gpu.trust().nvfp4.few_rows && gpu.trust().tensor_attention);
}

TEST(SelfTest, WhatFailsRunsInItsPlainForm) {
  TALON_REQUIRE_GPU();
  CudaBackend gpu(0);
  EXPECT_THAT(RunSelfTest(gpu, 0.0), testing::Each(testing::HasSubstr("WRONG")));
  EXPECT_FALSE(gpu.trust().nvfp4.few_rows || gpu.trust().fp8.many_rows);
  EXPECT_FALSE(gpu.trust().tensor_attention);
  constexpr int64_t kOuts = 50, kIns = 1536, kRows = 40;
  std::mt19937 random(4);
  const std::vector<uint16_t> bits = RandomBf16(random, kOuts * kIns, 0.05f);
  HostLinear host;
  host.name = "test";
  host.data = bits.data();
  host.out_features = kOuts;
  host.in_features = kIns;
  const std::vector<float> x = RandomFloats(random, kRows * kIns);
  const auto cpu = cpu::MakeCpuBackend(1);
  Matrix cpu_x(*cpu, DType::kF32, kRows, kIns), cpu_out(*cpu, DType::kF32, kRows, kOuts);
  cpu_x.Set(x);
  cpu::reference::Linear(cpu_x.tensor(), cpu::MakeLinear(host, LinearNumerics::kWeightOnly),
                         cpu_out.tensor(), {0, kRows});
  Matrix gpu_x(gpu, DType::kBF16, kRows, kIns), gpu_out(gpu, DType::kF32, kRows, kOuts);
  gpu_x.Set(x);
  const LinearWeight weight = gpu.MakeLinear(host, LinearNumerics::kWeightOnly);
  const LinearOutput outputs[] = {{&weight, gpu_out.tensor()}};
  gpu.Linear(gpu_x.tensor(), outputs);
  EXPECT_EQ(gpu_out.Get(), cpu_out.Get());
}

}  // namespace
}  // namespace talon::cuda
