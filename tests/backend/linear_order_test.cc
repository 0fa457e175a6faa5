// The K order of linears, bit for bit: each kernel against the scalar definition of its order, at
// every row count, row position and thread count, with other orders as mutants that must be caught.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <functional>

#include "talon/backend/cpu/cpu_features.h"
#include "talon/backend/cpu/k_order.h"
#include "talon/backend/cpu/linear.h"
#include "talon/backend/cpu/make_linear.h"
#include "talon/backend/cpu/reference.h"
#include "tests/backend/host_tensor.h"
#include "tests/backend/targets.h"

namespace talon::test {
namespace {

using cpu::Isa;
using DotFn = std::function<float(const float*, const float*, int64_t)>;

struct Case {
  const char* name;
  LinearFormat format;
  LinearNumerics numerics;
  DType dtype;
};

constexpr Case kCases[] = {
    {"bf16 x f32", LinearFormat::kBF16, LinearNumerics::kWeightOnly, DType::kF32},
    {"bf16 x bf16", LinearFormat::kBF16, LinearNumerics::kWeightOnly, DType::kBF16},
    {"fp8 x f32", LinearFormat::kF8, LinearNumerics::kWeightOnly, DType::kF32},
    {"fp8 x bf16", LinearFormat::kF8, LinearNumerics::kWeightOnly, DType::kBF16},
    {"nvfp4 x f32", LinearFormat::kNvfp4, LinearNumerics::kWeightOnly, DType::kF32},
    {"nvfp4 x bf16", LinearFormat::kNvfp4, LinearNumerics::kWeightOnly, DType::kBF16},
    {"w4a4 x f32", LinearFormat::kNvfp4, LinearNumerics::kW4A4, DType::kF32},
    {"w4a4 x bf16", LinearFormat::kNvfp4, LinearNumerics::kW4A4, DType::kBF16},
};

// The order that docs/numerics.md gives a linear.
DotFn OrderOf(const Case& c, Isa isa) {
  const bool bf16_products = c.dtype == DType::kBF16 || c.numerics == LinearNumerics::kW4A4;
  return isa == Isa::kAvx512Bf16 && bf16_products ? cpu::reference::OrderedDotPairs
                                                  : cpu::reference::OrderedDot;
}

// Outputs differing from `order` over all rows and features.
int64_t CountDifferences(const HostTensor& out, const HostTensor& x, const LinearWeight& weight,
                         const DotFn& order) {
  const int64_t k = weight.in_features;
  std::vector<float> inputs(static_cast<size_t>(k));
  std::vector<float> weights(static_cast<size_t>(k));
  int64_t differences = 0;
  for (int64_t r = 0; r < x.view().rows; ++r) {
    cpu::reference::LinearInputs(weight, x, r, inputs.data());
    for (int64_t o = 0; o < weight.out_features; ++o) {
      for (int64_t i = 0; i < k; ++i) {
        weights[static_cast<size_t>(i)] = cpu::reference::WeightElement(weight, o, i);
      }
      const float expected =
          order(inputs.data(), weights.data(), k) * cpu::reference::OutputFactor(weight, o);
      if (std::bit_cast<uint32_t>(expected) != std::bit_cast<uint32_t>(out.at(r, o))) {
        ++differences;
      }
    }
  }
  return differences;
}

std::vector<Isa> Isas() {
  std::vector<Isa> isas = {Isa::kGeneric};
  if (cpu::DetectIsa() == Isa::kAvx512Bf16) isas.push_back(Isa::kAvx512Bf16);
  return isas;
}

// The generic kernels run on each vector unit; the others have but one.
void ForEachVectorUnit(Isa isa, const std::function<void()>& body) {
  if (isa == Isa::kGeneric) {
    ForEachTarget(body);
  } else {
    body();
  }
}

// Plain ascending order; leaves in a chain instead of a tree.
float AscendingDot(const float* x, const float* w, int64_t k) {
  float sum = 0.0f;
  for (int64_t i = 0; i < k; ++i) sum = std::fma(x[i], w[i], sum);
  return sum;
}
float OneLeafDot(const DotFn& leaf, const float* x, const float* w, int64_t k) {
  float sum = 0.0f;
  const int64_t length = k / cpu::LeafCount(k);
  for (int64_t begin = 0; begin < k; begin += length) sum += leaf(x + begin, w + begin, length);
  return sum;
}

TEST(LinearOrder, EveryRowHasTheBitsOfTheDefinitionAtEveryRowCountAndThreadCount) {
  for (const Isa isa : Isas()) {
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      cpu::LinearOp op(isa, pool);
      for (const Case& c : kCases) {
        std::mt19937 random(11);
        // 768 = 8 leaves of 96; 21 outputs leave a rest of 1 in a group of 4.
        HostWeights host = RandomWeights(c.format, 21, 768, random);
        const LinearWeight weight = cpu::MakeLinear(host.linear, c.numerics);
        HostTensor x(c.dtype, 70, 768, 800);
        x.Randomize(random);
        for (const int64_t rows : {1, 2, 3, 4, 5, 8, 15, 70}) {
          HostTensor some(c.dtype, rows, 768, 771);
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t k = 0; k < 768; ++k) some.set(r, k, x.at(70 - rows + r, k));
          }
          HostTensor out(DType::kF32, rows, 21, 22);
          const LinearOutput output{&weight, out};
          ForEachVectorUnit(isa, [&] {
            op.Run(some, {&output, 1});
            EXPECT_EQ(CountDifferences(out, some, weight, OrderOf(c, isa)), 0)
                << c.name << " " << Name(isa) << " rows " << rows << " threads " << threads;
          });
        }
      }
    }
  }
}

TEST(LinearOrder, OtherOrdersAreCaught) {
  ThreadPool pool(2);
  for (const Isa isa : Isas()) {
    cpu::LinearOp op(isa, pool);
    for (const Case& c : kCases) {
      std::mt19937 random(12);
      HostWeights host = RandomWeights(c.format, 16, 2048, random);
      const LinearWeight weight = cpu::MakeLinear(host.linear, c.numerics);
      HostTensor x(c.dtype, 4, 2048);
      x.Randomize(random);
      HostTensor out(DType::kF32, 4, 16);
      const LinearOutput output{&weight, out};
      op.Run(x, {&output, 1});
      const DotFn right = OrderOf(c, isa);
      const DotFn chained = [&](const float* a, const float* b, int64_t k) {
        return OneLeafDot(right, a, b, k);
      };
      const bool pairs = isa == Isa::kAvx512Bf16 &&
                         (c.dtype == DType::kBF16 || c.numerics == LinearNumerics::kW4A4);
      const DotFn other_lanes =
          pairs ? cpu::reference::OrderedDot : cpu::reference::OrderedDotPairs;
      EXPECT_EQ(CountDifferences(out, x, weight, right), 0) << c.name;
      EXPECT_GT(CountDifferences(out, x, weight, AscendingDot), 0) << c.name;
      EXPECT_GT(CountDifferences(out, x, weight, chained), 0) << c.name;
      EXPECT_GT(CountDifferences(out, x, weight, other_lanes), 0) << c.name;
    }
  }
}

TEST(LinearOrder, LinearsThatShareAnInputGiveTheBitsOfEachAlone) {
  ThreadPool pool(2);
  for (const Isa isa : Isas()) {
    cpu::LinearOp op(isa, pool);
    std::mt19937 random(13);
    HostWeights hosts[] = {RandomWeights(LinearFormat::kNvfp4, 40, 128, random),
                           RandomWeights(LinearFormat::kBF16, 12, 128, random),
                           RandomWeights(LinearFormat::kNvfp4, 7, 128, random)};
    HostTensor x(DType::kBF16, 6, 128);
    x.Randomize(random);
    std::vector<LinearWeight> weights;
    for (const HostWeights& host : hosts) {
      weights.push_back(cpu::MakeLinear(host.linear, LinearNumerics::kW4A4));
    }
    HostTensor together(DType::kBF16, 6, 59);
    HostTensor alone(DType::kBF16, 6, 59);
    std::vector<LinearOutput> outputs;
    int64_t column = 0;
    for (const LinearWeight& weight : weights) {
      outputs.push_back({&weight, together.view().Cols(column, weight.out_features)});
      const LinearOutput one{&weight, alone.view().Cols(column, weight.out_features)};
      op.Run(x, {&one, 1});
      column += weight.out_features;
    }
    op.Run(x, outputs);
    EXPECT_EQ(together.bytes(), alone.bytes());
  }
}

// Packed W4A4 inputs are the numeric definition's, bit for bit: ties, zero blocks, clipped and tiny
// values.
TEST(LinearInputs, W4A4CodesAreThoseOfTheDefinition) {
  ForEachTarget([] {
    ThreadPool pool(1);
    std::mt19937 random(15);
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      HostTensor x(dtype, 3, 160);
      x.Randomize(random, 2.0f);
      for (int64_t k = 0; k < 16; ++k) {
        x.set(0, k, 0.0f);                                                // a zero block
        x.set(0, 16 + k, k == 3 ? 6.0f : 0.25f * static_cast<float>(k));  // thresholds of E2M1
        x.set(0, 32 + k, k == 0 ? -6.0f : -0.25f * static_cast<float>(k));
        x.set(0, 48 + k, 1e6f * static_cast<float>(k - 8));  // beyond the range
        x.set(0, 64 + k, 1e-12f * static_cast<float>(k));    // vanishes beside it
        x.set(0, 80 + k, -0.0f);
      }
      for (const float input_scale : {1.0f / 448.0f, 0.0021f, 1.0f}) {
        LinearWeight weight;
        weight.format = LinearFormat::kNvfp4;
        weight.numerics = LinearNumerics::kW4A4;
        weight.in_features = 160;
        weight.input_scale = input_scale;
        cpu::PackedInputs packed;
        packed.Pack(x, cpu::InputKind::kF32, input_scale, pool);
        cpu::PackedInputs packed_bf16;
        packed_bf16.Pack(x, cpu::InputKind::kBf16, input_scale, pool);
        std::vector<float> expected(160);
        std::vector<float> actual(160);
        for (int64_t r = 0; r < 3; ++r) {
          cpu::reference::LinearInputs(weight, x, r, expected.data());
          packed.UnpackRow(r, actual);
          for (int64_t k = 0; k < 160; ++k) {
            const auto at = static_cast<size_t>(k);
            ASSERT_EQ(std::bit_cast<uint32_t>(actual[at]), std::bit_cast<uint32_t>(expected[at]))
                << "row " << r << " column " << k << " value " << x.at(r, k);
            const uint16_t bits =
                packed_bf16.bf16()[(k / 32 * packed_bf16.tile_rows() + r) * 32 + k % 32];
            ASSERT_EQ(Bf16ToFloat(bits), expected[at]);
          }
        }
      }
    }
  });
}

// An input that holds no value of any row must not reach another row's output.
TEST(LinearOrder, ANaNRowStaysInItsRow) {
  ThreadPool pool(2);
  for (const Isa isa : Isas()) {
    cpu::LinearOp op(isa, pool);
    std::mt19937 random(14);
    HostWeights host = RandomWeights(LinearFormat::kBF16, 9, 320, random);
    const LinearWeight weight = cpu::MakeLinear(host.linear, LinearNumerics::kWeightOnly);
    HostTensor x(DType::kBF16, 7, 320);
    x.Randomize(random);
    for (int64_t k = 0; k < 320; ++k) x.set(3, k, NAN);
    HostTensor out(DType::kF32, 7, 9);
    const LinearOutput output{&weight, out};
    op.Run(x, {&output, 1});
    for (int64_t r = 0; r < 7; ++r) {
      for (int64_t o = 0; o < 9; ++o) EXPECT_EQ(std::isnan(out.at(r, o)), r == 3);
    }
  }
}

}  // namespace
}  // namespace talon::test
