#include "linear_bench.h"

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "talon/backend/cuda/few_rows.h"
#include "talon/backend/cuda/many_rows.h"
#include "talon/backend/cuda/random_fill.h"
#include "talon/backend/cuda/repack.h"
#include "timing.h"

namespace talon::cuda {
namespace {

struct Shape {
  const char* name;
  std::vector<int64_t> out_features;  // one launch
  int64_t in_features;
};

const std::vector<Shape>& Shapes31B() {
  static const std::vector<Shape> shapes = {{"gate+up", {21504, 21504}, 5376},
                                            {"down", {5376}, 21504},
                                            {"qkv sliding", {8192, 4096, 4096}, 5376},
                                            {"qk full", {16384, 2048}, 5376},
                                            {"o sliding", {5376}, 8192},
                                            {"o full", {5376}, 16384},
                                            {"lm_head", {262144}, 5376}};
  return shapes;
}

constexpr int kMaxRows = 512;
constexpr int64_t kRotatedBytes = int64_t{600} << 20;  // 12 times the L2

// One copy of a launch's weights.
std::unique_ptr<DeviceBytes> RandomWeight(LinearFormat format, const LinearLayout& layout,
                                          uint64_t seed, cudaStream_t stream) {
  const int64_t count = layout.out_features * layout.in_features;
  auto packed = std::make_unique<DeviceBytes>(layout.SizeBytes());
  DeviceBytes data(count * 2);
  DeviceBytes scales(count / 16 + 1);
  DeviceBytes nan_found(4);
  if (format == LinearFormat::kBF16) {
    Check(LaunchFillBf16(data.as<void>(), count, 0.02f, seed, stream), "fill");
  } else {
    Check(LaunchFillBytes(data.as<uint8_t>(), count, 0, 126, seed, stream), "fill");
  }
  Check(LaunchFillBytes(scales.as<uint8_t>(), count / 16, 0x28, 0x50, seed + 1, stream), "fill");
  const RepackSource source = {format, data.as<void>(), scales.as<uint8_t>()};
  Check(LaunchRepack(source, layout, packed->as<uint8_t>(), nan_found.as<uint32_t>(), stream),
        "repack");
  Check(cudaStreamSynchronize(stream), "repack");
  return packed;
}

class ShapeBench {
 public:
  ShapeBench(const Shape& shape, const LinearBenchOptions& options, cudaStream_t stream)
      : shape_(shape),
        options_(options),
        stream_(stream),
        x_(kMaxRows * shape.in_features * 2),
        arrivals_(1 << 16) {
    Check(cudaMemset(arrivals_.as<void>(), 0, 1 << 16), "memset");
    Check(LaunchFillBf16(x_.as<void>(), kMaxRows * shape.in_features, 1.0f, 7, stream), "fill");
    int64_t outs = 0;
    for (const int64_t out : shape.out_features) {
      layouts_.push_back(LayoutOf(options.format, out, shape.in_features));
      bytes_ += layouts_.back().SizeBytes();
      outs += out;
    }
    out_ = std::make_unique<DeviceBytes>(kMaxRows * outs * 2);
    copies_ = std::max<int64_t>(3, kRotatedBytes / bytes_ + 1);
    for (int64_t copy = 0; copy < copies_; ++copy) {
      for (size_t i = 0; i < layouts_.size(); ++i) {
        weights_.push_back(RandomWeight(options.format, layouts_[i], copy * 16 + i, stream));
      }
    }
  }

  double LaunchUs(int rows) {
    const DeviceLimits limits = Limits();
    group_sums_ = std::make_unique<DeviceBytes>(std::max<int64_t>(
        4, GroupSumsBytes(options_.format, Problem(0, rows), limits, options_.tuning)));
    const auto launch = [&](const FewRowsProblem& problem) {
      if (options_.many_rows || PrefersManyRows(problem, limits)) {
        return LaunchManyRows(options_.format, problem, limits, stream_);
      }
      return LaunchFewRows(options_.format, problem, limits, options_.tuning, stream_);
    };
    return MedianGraphUs(stream_,
                         [&] {
                           for (int64_t copy = 0; copy < copies_; ++copy) {
                             Check(launch(Problem(copy, rows)), "linear");
                           }
                         }) /
           static_cast<double>(copies_);
  }

  int64_t bytes() const { return bytes_; }

 private:
  static DeviceLimits Limits() {
    DeviceLimits limits;
    cudaDeviceGetAttribute(&limits.multiprocessors, cudaDevAttrMultiProcessorCount, 0);
    cudaDeviceGetAttribute(&limits.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
    int major = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    limits.has_warpgroup_products = major == 9;
    return limits;
  }

  FewRowsProblem Problem(int64_t copy, int rows) const {
    FewRowsProblem p;
    int64_t out_at = 0;
    for (size_t i = 0; i < layouts_.size(); ++i) {
      LinearSegment& segment = p.segments[i];
      segment.weights = weights_[copy * layouts_.size() + i]->as<uint8_t>();
      segment.out = out_->as<uint16_t>() + out_at;
      segment.out_stride = layouts_[i].out_features;
      segment.sum_scale = 1e-3f;
      segment.out_features = static_cast<int>(layouts_[i].out_features);
      out_at += kMaxRows * layouts_[i].out_features;
    }
    p.x = x_.as<void>();
    p.x_stride = shape_.in_features;
    p.num_segments = static_cast<int>(layouts_.size());
    p.rows = rows;
    p.in_features = static_cast<int>(shape_.in_features);
    if (group_sums_ != nullptr) p.group_sums = group_sums_->as<float>();
    p.arrivals = arrivals_.as<uint32_t>();
    return p;
  }

  const Shape& shape_;
  const LinearBenchOptions& options_;
  cudaStream_t stream_;
  DeviceBytes x_;
  DeviceBytes arrivals_;
  std::unique_ptr<DeviceBytes> out_;
  std::unique_ptr<DeviceBytes> group_sums_;
  std::vector<LinearLayout> layouts_;
  std::vector<std::unique_ptr<DeviceBytes>> weights_;
  int64_t bytes_ = 0;
  int64_t copies_ = 0;
};

}  // namespace

void BenchLinears(const LinearBenchOptions& options) {
  cudaStream_t stream;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  for (const Shape& shape : Shapes31B()) {
    if (std::string(shape.name).find(options.shape) == std::string::npos) continue;
    ShapeBench bench(shape, options, stream);
    for (const int rows : options.rows) {
      const double us = bench.LaunchUs(rows);
      const double rate = static_cast<double>(bench.bytes()) / us * 1e-3;
      std::printf("%-12s rows %3d  %6.1f MB  %8.2f us  %6.0f GB/s  %5.1f %%\n", shape.name, rows,
                  static_cast<double>(bench.bytes()) * 1e-6, us, rate,
                  100.0 * rate / options.read_gb_per_s);
    }
  }
  cudaStreamDestroy(stream);
}

}  // namespace talon::cuda
