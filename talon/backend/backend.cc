// What a backend gets for free: imports by copy, recordings that call again, random weights by way
// of host memory.
#include "talon/backend/backend.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include "talon/backend/gumbel.h"
#include "talon/numeric/bf16.h"

namespace talon {
namespace {

class RepeatedCall : public RecordedOps {
 public:
  explicit RepeatedCall(std::function<void()> ops) : ops_(std::move(ops)) {}
  void Run() override { ops_(); }

 private:
  std::function<void()> ops_;
};

uint64_t RandomBits(uint64_t seed, int64_t index) {
  return MixBits(MixBits(seed + kGoldenGamma) + static_cast<uint64_t>(index) * kGoldenGamma);
}

std::vector<uint8_t> RandomBytes(int64_t count, uint32_t low, uint32_t high, uint64_t seed) {
  std::vector<uint8_t> bytes(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t bits = RandomBits(seed, i) >> 32;
    bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(low + bits % (high - low + 1));
  }
  return bytes;
}

// The sum of four uniforms on [-1/2, 1/2] has variance 1/3.
std::vector<uint16_t> RandomBf16(int64_t count, float deviation, uint64_t seed) {
  std::vector<uint16_t> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t bits = RandomBits(seed, i);
    float sum = -2.0f;
    for (int part = 0; part < 4; ++part) {
      sum += static_cast<float>((bits >> (16 * part)) & 0xFFFF) / 65536.0f;
    }
    values[static_cast<size_t>(i)] = FloatToBf16(sum * 1.7320508f * deviation);
  }
  return values;
}

// The host arrays of a random linear.
struct RandomArrays {
  std::vector<uint16_t> wide;
  std::vector<uint8_t> codes;
  std::vector<uint8_t> scales;
};

}  // namespace

Buffer Backend::Import(const void* host, int64_t size_bytes, std::shared_ptr<const void> owner) {
  (void)owner;
  Buffer buffer = Allocate(size_bytes);
  Upload(host, size_bytes, buffer.get());
  return buffer;
}

std::unique_ptr<RecordedOps> Backend::Record(std::function<void()> ops) {
  return std::make_unique<RepeatedCall>(std::move(ops));
}

LinearWeight Backend::MakeRandomLinear(LinearFormat format, int64_t out_features,
                                       int64_t in_features, uint64_t seed) {
  const int64_t count = out_features * in_features;
  const float deviation = 1.0f / std::sqrt(static_cast<float>(in_features));
  auto arrays = std::make_shared<RandomArrays>();
  HostLinear host;
  host.name = "random";
  host.format = format;
  host.out_features = out_features;
  host.in_features = in_features;
  host.weight_scale = deviation * RandomCodeScale(format);
  if (format == LinearFormat::kBF16) {
    arrays->wide = RandomBf16(count, deviation, seed);
    host.data = arrays->wide.data();
    host.weight_scale = 1.0f;
  } else {
    const bool nvfp4 = format == LinearFormat::kNvfp4;
    arrays->codes = RandomBytes(nvfp4 ? count / 2 : count, 0, nvfp4 ? 255 : 126, seed);
    host.data = arrays->codes.data();
    if (nvfp4) arrays->scales = RandomBytes(count / 16, 0x30, 0x40, seed + 1);
    host.block_scales = arrays->scales.data();
  }
  host.owner = arrays;
  return MakeLinear(host, LinearNumerics::kWeightOnly);
}

void Backend::FillRandom(const Tensor& to, float deviation, uint64_t seed) {
  const std::vector<uint16_t> values = RandomBf16(to.rows * to.cols, deviation, seed);
  Upload(values.data(), to.rows * to.cols * 2, to.data);
}

double Backend::MeasureReadBandwidth() {
  std::vector<uint64_t> data(size_t{1} << 25, 1);
  double best_seconds = 1e30;
  volatile uint64_t sink = 0;
  for (int i = 0; i < 3; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    uint64_t sum = 0;
    for (const uint64_t value : data) sum += value;
    sink = sink + sum;
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    best_seconds = std::min(best_seconds, taken.count());
  }
  return static_cast<double>(data.size() * sizeof(uint64_t)) / best_seconds;
}

}  // namespace talon
