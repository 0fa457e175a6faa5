// Row ops on every vector unit: bit-equal to the scalar definitions, which are themselves checked
// against float64 formulas; odd widths, column slices, both types.
#include "talon/backend/cpu/row_ops.h"

#include <gtest/gtest.h>

#include <cmath>

#include "talon/backend/backend.h"
#include "talon/backend/cpu/logits_ops.h"
#include "talon/numeric/bf16.h"
#include "tests/backend/host_tensor.h"
#include "tests/backend/targets.h"

namespace talon::test {
namespace {

using cpu::RowRange;

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};
constexpr int64_t kWidths[] = {1, 15, 16, 17, 100, 640};
constexpr int64_t kRows = 3;
constexpr RowRange kAllRows = {0, kRows};

std::vector<float> RandomGain(int64_t cols, std::mt19937& random) {
  std::normal_distribution<float> normal(1.0f, 0.5f);
  std::vector<float> gain(static_cast<size_t>(cols));
  for (float& g : gain) g = normal(random);
  return gain;
}

// Calls fn(dtype, cols, random) for every type and width on every vector unit.
void ForEachShape(const std::function<void(DType, int64_t, std::mt19937&)>& fn) {
  ForEachTarget([&] {
    for (const DType dtype : kTypes) {
      for (const int64_t cols : kWidths) {
        SCOPED_TRACE(testing::Message() << Name(dtype) << " x " << cols);
        std::mt19937 random(5);
        fn(dtype, cols, random);
      }
    }
  });
}

double HalfUlp(double value, DType dtype) {
  return std::abs(value) * (dtype == DType::kBF16 ? 0x1p-8 : 0x1p-22) + 1e-30;
}

TEST(RowOps, RmsNormMatchesItsFormulaAndDefinition) {
  ForEachShape([](DType dtype, int64_t cols, std::mt19937& random) {
    HostTensor x(dtype, kRows, cols, cols + 7);
    x.Randomize(random, 3.0f);
    const std::vector<float> gain = RandomGain(cols, random);
    for (const float* g : {gain.data(), static_cast<const float*>(nullptr)}) {
      HostTensor out(dtype, kRows, cols, cols + 2);
      HostTensor expected(dtype, kRows, cols, cols + 2);
      cpu::RunRmsNorm(x, g, 1e-6f, out, kAllRows);
      cpu::reference::RmsNorm(x, g, 1e-6f, expected, kAllRows);
      EXPECT_EQ(out.bytes(), expected.bytes());
      for (int64_t r = 0; r < kRows; ++r) {
        double squares = 0.0;
        for (const float v : x.Row(r)) squares += static_cast<double>(v) * v;
        const double inverse = 1.0 / std::sqrt(squares / static_cast<double>(cols) + 1e-6);
        for (int64_t c = 0; c < cols; ++c) {
          const double exact =
              x.at(r, c) * inverse * (g == nullptr ? 1.0 : gain[static_cast<size_t>(c)]);
          EXPECT_NEAR(out.at(r, c), exact, 2 * HalfUlp(exact, dtype));
        }
      }
    }
  });
}

TEST(RowOps, NormAddRoundsAfterNormSumAndScalar) {
  ForEachShape([](DType dtype, int64_t cols, std::mt19937& random) {
    HostTensor branch(dtype, kRows, cols, cols + 1);
    branch.Randomize(random);
    const std::vector<float> gain = RandomGain(cols, random);
    for (const float scalar : {1.0f, 0.0894f}) {
      HostTensor residual(dtype, kRows, cols, cols + 3);
      residual.Randomize(random, 5.0f);
      HostTensor expected = residual;
      NormAddParams params;
      params.branch = branch;
      params.gain = gain.data();
      params.layer_scalar = scalar;
      // The unfused form: norm, add, scale, each rounded.
      HostTensor normed(dtype, kRows, cols);
      cpu::reference::RmsNorm(branch, gain.data(), params.eps, normed, kAllRows);
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          expected.set(r, c, expected.at(r, c) + normed.at(r, c));
          if (scalar != 1.0f) expected.set(r, c, expected.at(r, c) * scalar);
        }
      }
      params.residual = residual;
      cpu::RunNormAdd(params, kAllRows);
      EXPECT_EQ(residual.bytes(), expected.bytes());
    }
  });
}

TEST(RowOps, EmbedAddAndCopyMatchTheirDefinitions) {
  ForEachShape([](DType dtype, int64_t cols, std::mt19937& random) {
    HostTensor table(DType::kBF16, 5, cols);
    table.Randomize(random);
    const int32_t ids[] = {4, 0, 4};
    HostTensor embedded(dtype, kRows, cols, cols + 1);
    HostTensor expected(dtype, kRows, cols, cols + 1);
    cpu::RunEmbed(table, ids, 73.5f, embedded, kAllRows);
    cpu::reference::Embed(table, ids, 73.5f, expected, kAllRows);
    EXPECT_EQ(embedded.bytes(), expected.bytes());
    for (const DType other : kTypes) {
      HostTensor b(other, kRows, cols);
      b.Randomize(random);
      HostTensor sum(other, kRows, cols);
      HostTensor expected_sum(other, kRows, cols);
      cpu::RunAdd(embedded, b, sum, kAllRows);
      cpu::reference::Add(embedded, b, expected_sum, kAllRows);
      EXPECT_EQ(sum.bytes(), expected_sum.bytes());
      HostTensor copy(other, kRows, cols, cols + 4);
      HostTensor expected_copy(other, kRows, cols, cols + 4);
      cpu::RunCopy(embedded, copy, kAllRows);
      cpu::reference::Copy(embedded, expected_copy, kAllRows);
      EXPECT_EQ(copy.bytes(), expected_copy.bytes());
    }
  });
}

TEST(RowOps, StoringKeepsInfinityAndNaN) {
  ForEachTarget([] {
    HostTensor x(DType::kF32, 1, 20);
    for (int64_t c = 0; c < 20; ++c) x.set(0, c, 1.0f);
    x.set(0, 3, INFINITY);
    x.set(0, 4, -INFINITY);
    x.set(0, 5, NAN);
    x.set(0, 6, 3.4e38f);  // beyond the largest BF16
    x.set(0, 7, 1e-40f);   // denormal
    x.set(0, 17, -0.0f);
    HostTensor y(DType::kBF16, 1, 20);
    HostTensor expected(DType::kBF16, 1, 20);
    cpu::RunCopy(x, y, {0, 1});
    cpu::reference::Copy(x, expected, {0, 1});
    EXPECT_EQ(y.bytes(), expected.bytes());
    EXPECT_TRUE(std::isnan(y.at(0, 5)));
    EXPECT_TRUE(std::isinf(y.at(0, 6)));
  });
}

double Activate(Activation activation, double z) {
  if (activation == Activation::kSilu) return z / (1.0 + std::exp(-z));
  return 0.5 * z * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (z + 0.044715 * z * z * z)));
}

TEST(RowOps, GatedActivationsMatchFloat64) {
  ForEachShape([](DType dtype, int64_t cols, std::mt19937& random) {
    for (const Activation activation : {Activation::kGeluTanh, Activation::kSilu}) {
      HostTensor gate(dtype, kRows, cols, cols + 9);
      HostTensor up(dtype, kRows, cols);
      gate.Randomize(random, 4.0f);
      up.Randomize(random);
      gate.set(0, 0, -120.0f);
      gate.set(1, 0, 120.0f);
      HostTensor out(dtype, kRows, cols);
      cpu::RunGatedActivation(activation, gate, up, out, kAllRows);
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          const double z = gate.at(r, c);
          const double exact = Activate(activation, z) * up.at(r, c);
          // Two roundings; the tail of 1 + tanh cancels down to 6e-8 of |z|.
          const double tolerance = 3 * HalfUlp(exact, dtype) + 3e-7 * std::abs(z * up.at(r, c));
          EXPECT_NEAR(out.at(r, c), exact, tolerance) << "z " << z;
        }
      }
    }
  });
}

// rb(rb(act(gate)) * up): the activation is rounded before it meets `up`. Approximations of tanh
// and exp move few activations over a rounding boundary.
TEST(RowOps, GatedActivationsRoundTwice) {
  std::mt19937 random(10);
  HostTensor gate(DType::kBF16, kRows, 512);
  HostTensor up(DType::kBF16, kRows, 512);
  gate.Randomize(random);
  up.Randomize(random);
  HostTensor out(DType::kBF16, kRows, 512);
  cpu::RunGatedActivation(Activation::kGeluTanh, gate, up, out, kAllRows);
  int64_t differs_from_two_roundings = 0;
  int64_t differs_from_one = 0;
  const auto round = [](double value) {
    return Bf16ToFloat(FloatToBf16(static_cast<float>(value)));
  };
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < 512; ++c) {
      const double activated = Activate(Activation::kGeluTanh, gate.at(r, c));
      differs_from_two_roundings += out.at(r, c) != round(round(activated) * up.at(r, c));
      differs_from_one += out.at(r, c) != round(activated * up.at(r, c));
    }
  }
  EXPECT_LT(differs_from_two_roundings, kRows * 512 / 100);
  EXPECT_GT(differs_from_one, kRows * 512 / 10);
}

TEST(RowOps, ActivationOfAnElementDoesNotDependOnItsPlace) {
  ForEachTarget([] {
    std::mt19937 random(9);
    HostTensor gate(DType::kF32, 1, 100);
    HostTensor up(DType::kF32, 1, 100);
    gate.Randomize(random, 3.0f);
    up.Randomize(random);
    HostTensor whole(DType::kF32, 1, 100);
    cpu::RunGatedActivation(Activation::kGeluTanh, gate, up, whole, {0, 1});
    for (int64_t c = 0; c < 100; ++c) {
      HostTensor one(DType::kF32, 1, 1);
      cpu::RunGatedActivation(Activation::kGeluTanh, gate.view().Cols(c, 1), up.view().Cols(c, 1),
                              one, {0, 1});
      EXPECT_EQ(one.at(0, 0), whole.at(0, c));
    }
  });
}

TEST(RowOps, SoftcapMatchesFloat64) {
  ForEachTarget([] {
    ThreadPool pool(2);
    std::mt19937 random(2);
    HostTensor logits(DType::kF32, 2, 40001, 40010);
    logits.Randomize(random, 40.0f);
    HostTensor capped = logits;
    cpu::RunSoftcap(30.0f, capped, pool);
    for (int64_t r = 0; r < 2; ++r) {
      for (int64_t c = 0; c < 40001; ++c) {
        const double exact = 30.0 * std::tanh(static_cast<double>(logits.at(r, c)) / 30.0);
        ASSERT_NEAR(capped.at(r, c), exact, 1e-6 * std::abs(exact) + 1e-30);
      }
    }
  });
}

TEST(RowOps, ArgmaxTakesTheLowestIdOfTheLargestAndReportsNaN) {
  ForEachTarget([] {
    std::mt19937 random(4);
    for (const int64_t cols : {1, 5, 16, 33, 1000}) {
      for (int64_t at = 0; at < cols; at += 1 + cols / 20) {
        std::vector<float> row(static_cast<size_t>(cols));
        std::normal_distribution<float> normal;
        for (float& v : row) v = normal(random);
        row[static_cast<size_t>(at)] = 100.0f;
        for (int64_t later = at + 1; later < cols; later += 7) {
          row[static_cast<size_t>(later)] = 100.0f;
        }
        EXPECT_EQ(cpu::ArgmaxRow(row.data(), cols), at);
        row[static_cast<size_t>(at)] = NAN;
        EXPECT_EQ(cpu::ArgmaxRow(row.data(), cols), -1);
      }
    }
    const std::vector<float> masked(40, -INFINITY);
    EXPECT_EQ(cpu::ArgmaxRow(masked.data(), 40), 0);
  });
}

TEST(RowOps, RopeTableHoldsRoundedCosinesAndSines) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  const int32_t positions[] = {0, 1, 77, 131071};
  const float inv_freq[] = {1.0f, 0.1f, 1e-4f, 0.0f};
  for (const DType dtype : kTypes) {
    HostTensor table(DType::kF32, 4, 8);
    backend->RopeTable(positions, inv_freq, dtype, table);
    for (int64_t r = 0; r < 4; ++r) {
      for (int64_t i = 0; i < 4; ++i) {
        const float angle = static_cast<float>(positions[r]) * inv_freq[i];
        const double tolerance = dtype == DType::kBF16 ? 0x1p-9 : 0x1p-24;
        EXPECT_NEAR(table.at(r, i), std::cos(static_cast<double>(angle)), tolerance);
        EXPECT_NEAR(table.at(r, 4 + i), std::sin(static_cast<double>(angle)), tolerance);
        EXPECT_EQ(table.at(r, i), cpu::Round(table.at(r, i), dtype));
      }
    }
  }
}

TEST(RowOps, GatherRowsCopiesBytes) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  std::mt19937 random(6);
  for (const DType dtype : kTypes) {
    HostTensor x(dtype, 5, 33, 40);
    x.Randomize(random);
    const int32_t indices[] = {4, 4, 1};
    HostTensor out(dtype, 3, 33, 35);
    backend->GatherRows(x, indices, out);
    for (int64_t r = 0; r < 3; ++r) EXPECT_EQ(out.Row(r), x.Row(indices[r]));
  }
}

}  // namespace
}  // namespace talon::test
