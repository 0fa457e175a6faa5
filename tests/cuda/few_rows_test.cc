// The few-row kernel against the plainest form of the K order (bit for bit, every row count) and a
// float64 product; its mutants must differ.
#include "talon/backend/cuda/few_rows.h"

#include <cmath>
#include <memory>

#include "talon/backend/cpu/make_linear.h"
#include "talon/backend/cpu/reference.h"
#include "talon/backend/cuda/nvfp4_bits.h"
#include "talon/backend/cuda/repack.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/mma_reference.h"

namespace talon::cuda {
namespace {

constexpr int kRows = 64;
constexpr float kWeightScale = 0.0123f;

struct Case {
  LinearFormat format;
  int out_features;
  int in_features;
};

// A random linear, its packed form on the device, its elements by the scalar definition, and
// inputs.
class Problem {
 public:
  explicit Problem(const Case& c, uint32_t seed = 1)
      : c_(c), layout_(LayoutOf(c.format, c.out_features, c.in_features)) {
    std::mt19937 random(seed);
    const size_t count = static_cast<size_t>(c.out_features) * c.in_features;
    HostLinear host;
    host.name = "test";
    host.format = c.format;
    host.out_features = c.out_features;
    host.in_features = c.in_features;
    host.weight_scale = c.format == LinearFormat::kBF16 ? 1.0f : kWeightScale;
    std::vector<uint16_t> bf16;
    std::vector<uint8_t> bytes;
    std::vector<uint8_t> scales;
    if (c.format == LinearFormat::kBF16) {
      bf16 = RandomBf16(random, count, 0.05f);
      host.data = bf16.data();
    } else if (c.format == LinearFormat::kF8) {
      bytes = RandomBytes(random, count, 0, 255);
      for (uint8_t& code : bytes) code = (code & 0x7F) == 0x7F ? 0x33 : code;
      host.data = bytes.data();
    } else {
      bytes = RandomBytes(random, count / 2, 0, 255);
      scales = RandomBytes(random, count / 16, 0, 0x7E);  // zero, subnormal and largest too
      host.data = bytes.data();
      host.block_scales = scales.data();
    }
    const LinearWeight weight = cpu::MakeLinear(host, LinearNumerics::kWeightOnly);
    elements_.resize(count);
    for (size_t i = 0; i < count; ++i) {
      elements_[i] =
          FloatToBf16(cpu::reference::WeightElement(weight, static_cast<int64_t>(i / c.in_features),
                                                    static_cast<int64_t>(i % c.in_features)));
    }
    x_ = RandomBf16(random, static_cast<size_t>(kRows) * c.in_features, 1.0f);
    Pack(host, bf16, bytes, scales);
  }

  const LinearLayout& layout() const { return layout_; }
  float factor() const { return c_.format == LinearFormat::kBF16 ? 1.0f : kWeightScale; }

  std::vector<float> Reference(KOrderMutant mutant) const {
    const DeviceArray<uint16_t> w(elements_), x(x_);
    DeviceArray<float> out(static_cast<size_t>(kRows) * c_.out_features);
    Check(LaunchMmaReference(w.get(), x.get(), out.get(), c_.out_features, kRows, c_.in_features,
                             layout_.num_leaves, factor(), mutant),
          "reference");
    return out.Get();
  }

  std::vector<float> Run(int rows, const FewRowsTuning& tuning = {}) const {
    DeviceArray<float> out(static_cast<size_t>(rows) * c_.out_features);
    DeviceArray<uint16_t> x(x_);
    DeviceArray<uint32_t> arrivals(std::vector<uint32_t>(layout_.num_tiles, 0));
    FewRowsProblem p;
    p.segments[0].weights = packed_->get();
    p.segments[0].out = out.get();
    p.segments[0].out_stride = c_.out_features;
    p.segments[0].out_features = c_.out_features;
    p.segments[0].out_is_f32 = true;
    p.segments[0].sum_scale =
        factor() * (c_.format == LinearFormat::kNvfp4 ? kNvfp4SumScale : 1.0f);
    p.x = x.get();
    p.x_stride = c_.in_features;
    p.num_segments = 1;
    p.rows = rows;
    p.in_features = c_.in_features;
    p.arrivals = arrivals.get();
    DeviceLimits limits;
    cudaDeviceGetAttribute(&limits.multiprocessors, cudaDevAttrMultiProcessorCount, 0);
    cudaDeviceGetAttribute(&limits.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
    DeviceArray<float> sums(static_cast<size_t>(GroupSumsBytes(c_.format, p, limits, tuning) / 4));
    p.group_sums = sums.get();
    Check(LaunchFewRows(c_.format, p, limits, tuning, nullptr), "few rows");
    std::vector<float> result = out.Get();
    for (const uint32_t left : arrivals.Get())
      EXPECT_EQ(left, 0u) << "an arrival count was not reset";
    return result;
  }

  // Largest error against float64 over the sum of the products' magnitudes.
  double RelativeError(const std::vector<float>& got, int rows) const {
    double worst = 0.0;
    for (int r = 0; r < rows; ++r) {
      for (int o = 0; o < c_.out_features; o += 7) {
        double sum = 0.0, magnitude = 1e-30;
        for (int k = 0; k < c_.in_features; ++k) {
          const double product =
              static_cast<double>(Bf16ToFloat(x_[static_cast<size_t>(r) * c_.in_features + k])) *
              Bf16ToFloat(elements_[static_cast<size_t>(o) * c_.in_features + k]) * factor();
          sum += product;
          magnitude += std::abs(product);
        }
        const double got_value = got[static_cast<size_t>(r) * c_.out_features + o];
        const double error = std::abs(got_value - sum) / magnitude;
        worst = std::max(worst, std::isnan(error) ? 1.0 : error);
      }
    }
    return worst;
  }

 private:
  void Pack(const HostLinear& host, const std::vector<uint16_t>& bf16,
            const std::vector<uint8_t>& bytes, const std::vector<uint8_t>& scales) {
    const DeviceArray<uint16_t> data16(bf16);
    const DeviceArray<uint8_t> data8(bytes), scale_codes(scales);
    DeviceArray<uint32_t> nan_found(std::vector<uint32_t>{0});
    packed_ = std::make_unique<DeviceArray<uint8_t>>(static_cast<size_t>(layout_.SizeBytes()));
    RepackSource source = {host.format, data8.get(), scale_codes.get()};
    if (host.format == LinearFormat::kBF16) source.data = data16.get();
    Check(LaunchRepack(source, layout_, packed_->get(), nan_found.get(), nullptr), "repack");
    EXPECT_EQ(nan_found.Get()[0], 0u);
  }

  Case c_;
  LinearLayout layout_;
  std::vector<uint16_t> elements_;  // [out, in]
  std::vector<uint16_t> x_;         // [kRows, in]
  std::unique_ptr<DeviceArray<uint8_t>> packed_;
};

class FewRowsTest : public testing::TestWithParam<Case> {};

TEST_P(FewRowsTest, EqualsThePlainOrderForEveryRowCount) {
  TALON_REQUIRE_GPU();
  const Problem problem(GetParam());
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
  const Problem problem(GetParam());
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
  const Problem problem(GetParam());
  if (problem.layout().num_leaves < 4) GTEST_SKIP() << "one order only";
  const std::vector<float> right = problem.Reference(KOrderMutant::kNone);
  EXPECT_NE(problem.Reference(KOrderMutant::kOneLeaf), right);
  EXPECT_NE(problem.Reference(KOrderMutant::kLinearTree), right);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, FewRowsTest,
    testing::Values(Case{LinearFormat::kNvfp4, 40, 16}, Case{LinearFormat::kNvfp4, 16, 48},
                    Case{LinearFormat::kNvfp4, 1000, 704}, Case{LinearFormat::kNvfp4, 256, 5376},
                    Case{LinearFormat::kNvfp4, 144, 21504}, Case{LinearFormat::kNvfp4, 5376, 1024},
                    Case{LinearFormat::kNvfp4, 15000, 256}, Case{LinearFormat::kBF16, 37, 32},
                    Case{LinearFormat::kBF16, 320, 5376}, Case{LinearFormat::kBF16, 80, 16128},
                    Case{LinearFormat::kF8, 200, 2048}, Case{LinearFormat::kF8, 64, 96}));

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
