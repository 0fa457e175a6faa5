// A random linear for the kernel tests: its packed form on the device, its elements by the scalar
// definition, inputs, the plainest form of the K order, and float64.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "talon/backend/cpu/make_linear.h"
#include "talon/backend/cpu/reference.h"
#include "talon/backend/cuda/many_rows.h"
#include "talon/backend/cuda/nvfp4_bits.h"
#include "talon/backend/cuda/repack.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/mma_reference.h"

namespace talon::cuda {

struct LinearCase {
  LinearFormat format;
  int out_features;
  int in_features;
};

class LinearProblem {
 public:
  static constexpr float kWeightScale = 0.0123f;

  explicit LinearProblem(const LinearCase& c, int rows = 64, uint32_t seed = 1)
      : c_(c), rows_(rows), layout_(LayoutOf(c.format, c.out_features, c.in_features)) {
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
    x_ = RandomBf16(random, static_cast<size_t>(rows_) * c.in_features, 1.0f);
    Pack(host, bf16, bytes, scales);
  }

  const LinearLayout& layout() const { return layout_; }
  float factor() const { return c_.format == LinearFormat::kBF16 ? 1.0f : kWeightScale; }

  std::vector<float> Reference(KOrderMutant mutant) const {
    const DeviceArray<uint16_t> w(elements_), x(x_);
    DeviceArray<float> out(static_cast<size_t>(rows_) * c_.out_features);
    Check(LaunchMmaReference(w.get(), x.get(), out.get(), c_.out_features, rows_, c_.in_features,
                             layout_.num_leaves, factor(), mutant),
          "reference");
    return out.Get();
  }

  std::vector<float> Run(int rows, const FewRowsTuning& tuning = {}) const {
    DeviceArray<float> out(static_cast<size_t>(rows) * c_.out_features);
    DeviceArray<uint16_t> x(x_);
    DeviceArray<uint32_t> arrivals(std::vector<uint32_t>(layout_.num_tiles, 0));
    FewRowsProblem p = ProblemOf(x.get(), rows, out.get());
    p.arrivals = arrivals.get();
    const DeviceLimits limits = Limits();
    DeviceArray<float> sums(static_cast<size_t>(GroupSumsBytes(c_.format, p, limits, tuning) / 4));
    p.group_sums = sums.get();
    Check(LaunchFewRows(c_.format, p, limits, tuning, nullptr), "few rows");
    std::vector<float> result = out.Get();
    for (const uint32_t left : arrivals.Get()) {
      EXPECT_EQ(left, 0u) << "an arrival count was not reset";
    }
    return result;
  }

  std::vector<float> RunManyRows(int rows) const {
    DeviceArray<float> out(static_cast<size_t>(rows) * c_.out_features);
    DeviceArray<uint16_t> x(x_);
    const FewRowsProblem p = ProblemOf(x.get(), rows, out.get());
    Check(LaunchManyRows(c_.format, p, Limits(), nullptr), "many rows");
    return out.Get();
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
  static DeviceLimits Limits() {
    DeviceLimits limits;
    cudaDeviceGetAttribute(&limits.multiprocessors, cudaDevAttrMultiProcessorCount, 0);
    cudaDeviceGetAttribute(&limits.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
    return limits;
  }

  FewRowsProblem ProblemOf(const uint16_t* x, int rows, float* out) const {
    FewRowsProblem p;
    p.segments[0].weights = packed_->get();
    p.segments[0].out = out;
    p.segments[0].out_stride = c_.out_features;
    p.segments[0].out_features = c_.out_features;
    p.segments[0].out_is_f32 = true;
    p.segments[0].sum_scale =
        factor() * (c_.format == LinearFormat::kNvfp4 ? kNvfp4SumScale : 1.0f);
    p.x = x;
    p.x_stride = c_.in_features;
    p.num_segments = 1;
    p.rows = rows;
    p.in_features = c_.in_features;
    return p;
  }

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

  LinearCase c_;
  int rows_;  // of the inputs
  LinearLayout layout_;
  std::vector<uint16_t> elements_;  // [out, in]
  std::vector<uint16_t> x_;         // [rows, in]
  std::unique_ptr<DeviceArray<uint8_t>> packed_;
};

}  // namespace talon::cuda
