// Row ops of the CUDA backend against the CPU backend's scalar definitions. Ops without a reduction
// or a transcendental function are equal bit for bit; the others to the last BF16 digit or a few
// ulps.
#include <cmath>

#include "tests/cuda/both_backends.h"
#include "tests/cuda/device_test.h"

namespace talon::cuda {
namespace {

constexpr int64_t kRows = 5;
constexpr int64_t kCols = 1000;

struct Tolerance {
  float relative = 0.0f;  // of the value
  float absolute = 0.0f;
};

class RowOpsTest : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    TALON_REQUIRE_GPU();
    cpu_ = cpu::MakeCpuBackend(1);
    gpu_ = std::make_unique<CudaBackend>(0);
  }

  DType dtype() const { return GetParam(); }
  // One rounding step of BF16 may go the other way after a different sum.
  Tolerance Rounded() const {
    return dtype() == DType::kBF16 ? Tolerance{0.008f} : Tolerance{2e-6f, 1e-7f};
  }

  // Runs `op(backend, inputs, out)` on both and compares `out`.
  template <class OpFn>
  void Compare(size_t num_inputs, Tolerance tolerance, OpFn op) {
    std::vector<std::vector<float>> data;
    for (size_t i = 0; i <= num_inputs; ++i) data.push_back(RandomFloats(random_, kRows * kCols));
    std::vector<float> results[2];
    Backend* backends[2] = {cpu_.get(), gpu_.get()};
    for (int b = 0; b < 2; ++b) {
      std::vector<Matrix> matrices;
      for (const auto& values : data) {
        matrices.emplace_back(*backends[b], dtype(), kRows, kCols);
        matrices.back().Set(values);
      }
      op(*backends[b], matrices);
      results[b] = matrices.back().Get();
    }
    for (size_t i = 0; i < results[0].size(); ++i) {
      ASSERT_NEAR(results[0][i], results[1][i],
                  tolerance.absolute + tolerance.relative * std::abs(results[0][i]))
          << i;
    }
  }

  std::mt19937 random_{7};
  std::unique_ptr<Backend> cpu_;
  std::unique_ptr<CudaBackend> gpu_;
};

TEST_P(RowOpsTest, Add) {
  Compare(2, {}, [](Backend& b, std::vector<Matrix>& m) {
    b.Add(m[0].tensor(), m[1].tensor(), m[2].tensor());
  });
}

TEST_P(RowOpsTest, RmsNormOfColumnSlices) {
  const std::vector<float> gain = RandomFloats(random_, kCols);
  Compare(1, Rounded(), [&](Backend& b, std::vector<Matrix>& m) {
    const Array<float> g(b, gain);
    b.RmsNorm(m[0].tensor().Cols(100, 800), g.get(), 1e-6f, m[1].tensor().Cols(7, 800));
  });
}

TEST_P(RowOpsTest, NormAdd) {
  const std::vector<float> gain = RandomFloats(random_, kCols);
  Compare(1, {0.016f, 0.016f}, [&](Backend& b, std::vector<Matrix>& m) {
    const Array<float> g(b, gain);
    NormAddParams p;
    p.branch = m[0].tensor();
    p.gain = g.get();
    p.residual = m[1].tensor();
    p.layer_scalar = 0.73f;
    b.NormAdd(p);
    b.Synchronize();  // `g` goes away
  });
}

TEST_P(RowOpsTest, GatedActivations) {
  for (const Activation activation : {Activation::kGeluTanh, Activation::kSilu}) {
    Tolerance tolerance = Rounded();
    tolerance.absolute = 1e-6f;  // gelu cancels in its tail
    Compare(2, tolerance, [&](Backend& b, std::vector<Matrix>& m) {
      b.GatedActivation(activation, m[0].tensor(), m[1].tensor(), m[2].tensor());
    });
  }
}

TEST_P(RowOpsTest, GatherAndCopy) {
  Compare(1, {}, [](Backend& b, std::vector<Matrix>& m) {
    const Array<int32_t> indices(b, {4, 0, 0, 3, 1});
    b.GatherRows(m[0].tensor(), indices.get(), m[1].tensor());
    b.Copy(m[0].tensor().Cols(10, 20), m[1].tensor().Cols(500, 20));
  });
}

TEST_P(RowOpsTest, RopeTable) {
  std::vector<float> inv_freq;
  for (int i = 0; i < 128; ++i) inv_freq.push_back(std::pow(10000.0f, -i / 128.0f));
  std::vector<float> results[2];
  Backend* backends[2] = {cpu_.get(), gpu_.get()};
  for (int i = 0; i < 2; ++i) {
    const Array<int32_t> positions(*backends[i], {0, 1, 77, 5000, 131071});
    const Array<float> frequencies(*backends[i], inv_freq);
    Matrix table(*backends[i], DType::kF32, 5, 256);
    backends[i]->RopeTable(positions.get(), frequencies.get(), dtype(), table.tensor());
    results[i] = table.Get();
  }
  for (size_t i = 0; i < results[0].size(); ++i) ASSERT_NEAR(results[0][i], results[1][i], 4e-3f);
}

INSTANTIATE_TEST_SUITE_P(Types, RowOpsTest, testing::Values(DType::kBF16, DType::kF32),
                         [](const auto& info) { return std::string(Name(info.param)); });

TEST(EmbedTest, ScalesAndRounds) {
  TALON_REQUIRE_GPU();
  const auto cpu = cpu::MakeCpuBackend(1);
  CudaBackend gpu(0);
  std::mt19937 random(3);
  const std::vector<float> values = RandomFloats(random, 20 * 48);
  std::vector<float> results[2];
  Backend* backends[2] = {cpu.get(), &gpu};
  for (int i = 0; i < 2; ++i) {
    Matrix table(*backends[i], DType::kBF16, 20, 48);
    table.Set(values);
    const Array<int32_t> ids(*backends[i], {19, 0, 7});
    Matrix out(*backends[i], DType::kBF16, 3, 48);
    backends[i]->Embed(table.tensor(), ids.get(), 73.5f, out.tensor());
    results[i] = out.Get();
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST(SoftcapTest, MatchesTheDefinition) {
  TALON_REQUIRE_GPU();
  CudaBackend gpu(0);
  std::mt19937 random(4);
  const std::vector<float> values = RandomFloats(random, 3 * 77, 40.0f);
  Matrix logits(gpu, DType::kF32, 3, 77);
  logits.Set(values);
  gpu.Softcap(30.0f, logits.tensor());
  const std::vector<float> got = logits.Get();
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i], 30.0 * std::tanh(values[i] / 30.0), 1e-5);
  }
}

}  // namespace
}  // namespace talon::cuda
