// Linear: every format, input type and odd shape against a float64 recomputation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "talon/backend/backend.h"
#include "talon/backend/cpu/make_linear.h"
#include "talon/backend/cpu/reference.h"
#include "tests/backend/host_tensor.h"

namespace talon::test {
namespace {

struct Shape {
  int64_t rows;
  int64_t out_features;
  int64_t in_features;
};

struct Case {
  LinearFormat format;
  LinearNumerics numerics;
  DType dtype;
};

const char* Name(const Case& c) {
  if (c.numerics == LinearNumerics::kW4A4) return "w4a4";
  switch (c.format) {
    case LinearFormat::kBF16:
      return "bf16";
    case LinearFormat::kF8:
      return "fp8";
    default:
      return "nvfp4";
  }
}

constexpr Case kCases[] = {
    {LinearFormat::kBF16, LinearNumerics::kWeightOnly, DType::kF32},
    {LinearFormat::kBF16, LinearNumerics::kWeightOnly, DType::kBF16},
    {LinearFormat::kF8, LinearNumerics::kWeightOnly, DType::kF32},
    {LinearFormat::kF8, LinearNumerics::kWeightOnly, DType::kBF16},
    {LinearFormat::kNvfp4, LinearNumerics::kWeightOnly, DType::kF32},
    {LinearFormat::kNvfp4, LinearNumerics::kWeightOnly, DType::kBF16},
    {LinearFormat::kNvfp4, LinearNumerics::kW4A4, DType::kF32},
    {LinearFormat::kNvfp4, LinearNumerics::kW4A4, DType::kBF16},
};

// Sum of x * w in float64 and the sum of magnitudes, which bounds the FP32 error.
struct Exact {
  double sum = 0.0;
  double magnitude = 0.0;
};

Exact Float64Dot(const LinearWeight& weight, const std::vector<float>& inputs, int64_t o) {
  Exact exact;
  for (int64_t k = 0; k < weight.in_features; ++k) {
    const double product = static_cast<double>(inputs[static_cast<size_t>(k)]) *
                           cpu::reference::WeightElement(weight, o, k);
    exact.sum += product;
    exact.magnitude += std::abs(product);
  }
  const double factor = cpu::reference::OutputFactor(weight, o);
  return {exact.sum * factor, exact.magnitude * std::abs(factor)};
}

void ExpectNearFloat64(Backend& backend, const Case& c, const Shape& shape, DType out_dtype) {
  SCOPED_TRACE(testing::Message() << Name(c) << " rows " << shape.rows << " out "
                                  << shape.out_features << " in " << shape.in_features
                                  << (c.dtype == DType::kF32 ? " f32" : " bf16"));
  std::mt19937 random(7);
  HostWeights host = RandomWeights(c.format, shape.out_features, shape.in_features, random);
  const LinearWeight weight = backend.MakeLinear(host.linear, c.numerics);
  HostTensor x(c.dtype, shape.rows, shape.in_features, shape.in_features + 5);
  x.Randomize(random);
  HostTensor out(out_dtype, shape.rows, shape.out_features, shape.out_features + 3);
  const LinearOutput output{&weight, out};
  backend.Linear(x, {&output, 1});
  std::vector<float> inputs(static_cast<size_t>(shape.in_features));
  for (int64_t r = 0; r < shape.rows; ++r) {
    cpu::reference::LinearInputs(weight, x, r, inputs.data());
    for (int64_t o = 0; o < shape.out_features; ++o) {
      const Exact exact = Float64Dot(weight, inputs, o);
      // FP32: a chain of K / 16 / leaves additions and the trees; BF16: one rounding more.
      double tolerance = 4e-6 * exact.magnitude + 1e-30;
      if (out_dtype == DType::kBF16) tolerance += std::abs(exact.sum) * 0x1p-8;
      ASSERT_NEAR(out.at(r, o), exact.sum, tolerance) << "row " << r << " out " << o;
    }
  }
}

TEST(Linear, EveryFormatMatchesFloat64OnOddShapes) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  const Shape shapes[] = {{1, 1, 16},    {1, 37, 48},  {2, 5, 64},   {3, 18, 640}, {5, 33, 112},
                          {7, 16, 1344}, {17, 9, 256}, {70, 21, 96}, {1, 70, 2048}};
  for (const Case& c : kCases) {
    for (const Shape& shape : shapes) {
      ExpectNearFloat64(*backend, c, shape, DType::kF32);
      ExpectNearFloat64(*backend, c, shape, DType::kBF16);
    }
  }
}

TEST(Linear, ColumnsNeedNotBeAMultipleOfTheVector) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 1});
  for (const Case& c : kCases) {
    if (c.format == LinearFormat::kNvfp4) continue;
    for (const int64_t k : {1, 2, 7, 31, 33, 50, 63}) {
      ExpectNearFloat64(*backend, c, {3, 5, k}, DType::kF32);
    }
  }
}

}  // namespace
}  // namespace talon::test
