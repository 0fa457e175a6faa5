// CudaBackend::Linear: F32 inputs equal the CPU's scalar definition bit for bit; BF16 inputs are
// close to it, the same alone and among other rows; W4A4 quantizes its inputs by the scalar
// definition.
#include <cmath>

#include "talon/backend/cpu/make_linear.h"
#include "talon/backend/cpu/reference.h"
#include "tests/cuda/both_backends.h"
#include "tests/cuda/device_test.h"

namespace talon::cuda {
namespace {

struct HostWeights {
  std::vector<uint8_t> codes;
  std::vector<uint8_t> scales;
  std::vector<uint16_t> bf16;
  std::vector<float> row_scales;
  HostLinear linear;
};

HostWeights MakeWeights(LinearFormat format, int64_t outs, int64_t ins, uint32_t seed) {
  std::mt19937 random(seed);
  HostWeights w;
  const auto count = static_cast<size_t>(outs * ins);
  w.linear.name = "test";
  w.linear.format = format;
  w.linear.out_features = outs;
  w.linear.in_features = ins;
  if (format == LinearFormat::kBF16) {
    w.bf16 = RandomBf16(random, count, 0.05f);
    w.linear.data = w.bf16.data();
    return w;
  }
  w.linear.weight_scale = 0.0071f;
  w.linear.input_scale = 0.002f;
  if (format == LinearFormat::kF8) {
    w.codes = RandomBytes(random, count, 0, 126);
    w.row_scales.assign(static_cast<size_t>(outs), 0.001f);
    for (size_t i = 0; i < w.row_scales.size(); ++i) w.row_scales[i] *= static_cast<float>(i + 1);
    w.linear.row_scales = w.row_scales.data();
  } else {
    w.codes = RandomBytes(random, count / 2, 0, 255);
    w.scales = RandomBytes(random, count / 16, 0, 126);
    w.linear.block_scales = w.scales.data();
  }
  w.linear.data = w.codes.data();
  return w;
}

std::vector<float> RunLinear(Backend& backend, const HostWeights& w, LinearNumerics numerics,
                             DType dtype, const std::vector<float>& x, int64_t rows) {
  const LinearWeight weight = backend.MakeLinear(w.linear, numerics);
  Matrix input(backend, dtype, rows, w.linear.in_features);
  input.Set(std::vector<float>(x.begin(), x.begin() + rows * w.linear.in_features));
  Matrix out(backend, DType::kF32, rows, w.linear.out_features);
  const LinearOutput outputs[] = {{&weight, out.tensor()}};
  backend.Linear(input.tensor(), outputs);
  return out.Get();
}

// The same by the scalar definition, which takes every input type in the F32 order.
std::vector<float> ReferenceLinear(Backend& cpu, const HostWeights& w, LinearNumerics numerics,
                                   const std::vector<float>& x, int64_t rows) {
  const LinearWeight weight = cpu::MakeLinear(w.linear, numerics);
  Matrix input(cpu, DType::kF32, rows, w.linear.in_features);
  input.Set(x);
  Matrix out(cpu, DType::kF32, rows, w.linear.out_features);
  cpu::reference::Linear(input.tensor(), weight, out.tensor(), {0, rows});
  return out.Get();
}

class LinearTest : public testing::TestWithParam<std::tuple<LinearFormat, LinearNumerics>> {
 protected:
  void SetUp() override {
    TALON_REQUIRE_GPU();
    cpu_ = cpu::MakeCpuBackend(1);
    gpu_ = std::make_unique<CudaBackend>(0);
  }
  LinearFormat format() const { return std::get<0>(GetParam()); }
  LinearNumerics numerics() const { return std::get<1>(GetParam()); }

  std::unique_ptr<Backend> cpu_;
  std::unique_ptr<CudaBackend> gpu_;
};

TEST_P(LinearTest, F32InputsEqualTheScalarDefinition) {
  for (const auto& [outs, ins] : {std::pair{50, 48}, std::pair{33, 1024}}) {
    const HostWeights w = MakeWeights(format(), outs, ins, 5);
    std::mt19937 random(6);
    const std::vector<float> x = RandomFloats(random, 3 * ins);
    EXPECT_EQ(RunLinear(*gpu_, w, numerics(), DType::kF32, x, 3),
              ReferenceLinear(*cpu_, w, numerics(), x, 3));
  }
}

TEST_P(LinearTest, Bf16InputsAreCloseAndIndependentOfTheBatch) {
  const HostWeights w = MakeWeights(format(), 120, 1536, 8);
  std::mt19937 random(9);
  const std::vector<float> x = RandomFloats(random, 100 * 1536);
  const std::vector<float> reference = ReferenceLinear(*cpu_, w, numerics(), x, 100);
  const std::vector<float> all = RunLinear(*gpu_, w, numerics(), DType::kBF16, x, 100);
  double error = 0.0, norm = 0.0;
  for (size_t i = 0; i < all.size(); ++i) {
    error += std::pow(all[i] - reference[i], 2.0);
    norm += std::pow(reference[i], 2.0);
  }
  EXPECT_LT(std::sqrt(error / norm), 1e-6);
  for (const int64_t rows : {1, 5, 33}) {
    const std::vector<float> few = RunLinear(*gpu_, w, numerics(), DType::kBF16, x, rows);
    EXPECT_EQ(few, std::vector<float>(all.begin(), all.begin() + few.size())) << rows;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, LinearTest,
    testing::Values(std::tuple{LinearFormat::kBF16, LinearNumerics::kWeightOnly},
                    std::tuple{LinearFormat::kF8, LinearNumerics::kWeightOnly},
                    std::tuple{LinearFormat::kNvfp4, LinearNumerics::kWeightOnly},
                    std::tuple{LinearFormat::kNvfp4, LinearNumerics::kW4A4}));

TEST(MakeLinearTest, NanScaleIsAnError) {
  TALON_REQUIRE_GPU();
  CudaBackend gpu(0);
  HostWeights w = MakeWeights(LinearFormat::kNvfp4, 16, 64, 2);
  w.scales[13] = 0x7F;
  EXPECT_THROW(gpu.MakeLinear(w.linear, LinearNumerics::kWeightOnly), Error);
}

TEST(LinearLaunchTest, SharedInputsInOneLaunchEqualSingleLaunches) {
  TALON_REQUIRE_GPU();
  CudaBackend gpu(0);
  const HostWeights w[2] = {MakeWeights(LinearFormat::kNvfp4, 200, 512, 1),
                            MakeWeights(LinearFormat::kNvfp4, 72, 512, 2)};
  std::mt19937 random(3);
  const std::vector<float> x = RandomFloats(random, 4 * 512);
  const LinearWeight weights[2] = {gpu.MakeLinear(w[0].linear, LinearNumerics::kWeightOnly),
                                   gpu.MakeLinear(w[1].linear, LinearNumerics::kWeightOnly)};
  Matrix input(gpu, DType::kBF16, 4, 512);
  input.Set(x);
  Matrix out0(gpu, DType::kF32, 4, 200), out1(gpu, DType::kF32, 4, 72);
  const LinearOutput outputs[] = {{&weights[0], out0.tensor()}, {&weights[1], out1.tensor()}};
  gpu.Linear(input.tensor(), outputs);
  EXPECT_EQ(out0.Get(), RunLinear(gpu, w[0], LinearNumerics::kWeightOnly, DType::kBF16, x, 4));
  EXPECT_EQ(out1.Get(), RunLinear(gpu, w[1], LinearNumerics::kWeightOnly, DType::kBF16, x, 4));
}

}  // namespace
}  // namespace talon::cuda
