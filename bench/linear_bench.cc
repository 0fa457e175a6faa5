// Linear kernels against the machine: a few rows (decode, verification) against the read bandwidth,
// many rows (prefill) against the peak of the dot-product instruction. Limits and kernel are timed
// in turns within a benchmark and the best of each counts, so that other work on the machine hurts
// both alike.
//
//   linear_bench [--benchmark_filter=nvfp4]
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <memory>
#include <random>

#include "bench/machine_limits.h"
#include "talon/backend/backend.h"
#include "talon/backend/cpu/aligned_memory.h"
#include "talon/backend/cpu/cpu_features.h"
#include "talon/backend/cpu/linear.h"
#include "talon/backend/cpu/make_linear.h"

namespace talon::bench {
namespace {

ThreadPool& Pool() {
  static ThreadPool pool(0);
  return pool;
}

ReadBandwidth& Bandwidth() {
  static ReadBandwidth bandwidth(Pool());
  return bandwidth;
}

ComputePeak& Peak() {
  static ComputePeak peak(Pool());
  return peak;
}

struct Layout {
  int64_t data_bytes;
  int64_t scale_bytes;
};

Layout LayoutOf(LinearFormat format, int64_t out, int64_t in) {
  switch (format) {
    case LinearFormat::kBF16:
      return {out * in * 2, 0};
    case LinearFormat::kF8:
      return {out * in, 0};
    case LinearFormat::kNvfp4:
      return {out * in / 2, out * in / 16};
  }
  return {0, 0};
}

// As many copies of one weight as exceed every cache, used in turn like the layers of a model.
struct Weights {
  std::vector<LinearWeight> copies;
  int64_t bytes_each = 0;
};

Weights MakeWeights(LinearFormat format, int64_t out, int64_t in) {
  constexpr int64_t kTotalBytes = int64_t{192} << 20;
  const Layout layout = LayoutOf(format, out, in);
  Weights weights;
  weights.bytes_each = layout.data_bytes + layout.scale_bytes;
  const int64_t count = std::max<int64_t>(1, kTotalBytes / weights.bytes_each);
  for (int64_t i = 0; i < count; ++i) {
    Buffer memory = cpu::AllocateAligned(weights.bytes_each);
    // Bytes that are ordinary numbers in every format: BF16 near 0.5 or -0.5, E4M3 and codes at
    // random.
    auto* bytes = static_cast<uint8_t*>(memory.get());
    std::minstd_rand random(static_cast<unsigned>(i + 1));
    for (int64_t at = 0; at < weights.bytes_each; ++at) {
      const auto value = static_cast<uint8_t>(random() >> 8);
      bytes[at] =
          format == LinearFormat::kBF16 && at % 2 == 1 ? (value & 0x80) | 0x3E : value & 0xBF;
    }
    HostLinear linear;
    linear.format = format;
    linear.out_features = out;
    linear.in_features = in;
    linear.data = bytes;
    linear.block_scales = bytes + layout.data_bytes;
    linear.owner = memory;
    weights.copies.push_back(cpu::MakeLinear(linear, LinearNumerics::kWeightOnly));
  }
  return weights;
}

Tensor MakeTensor(DType dtype, int64_t rows, int64_t cols, std::vector<Buffer>& owners) {
  owners.push_back(cpu::AllocateAligned(rows * cols * SizeOf(dtype)));
  std::memset(owners.back().get(), 0x3C, static_cast<size_t>(rows * cols * SizeOf(dtype)));
  return {owners.back().get(), dtype, rows, cols, cols};
}

void BenchLinear(benchmark::State& state, LinearFormat format, DType dtype, int64_t out, int64_t in,
                 int64_t rows) {
  const Weights weights = MakeWeights(format, out, in);
  std::vector<Buffer> owners;
  const Tensor x = MakeTensor(dtype, rows, in, owners);
  const Tensor y = MakeTensor(dtype, rows, out, owners);
  cpu::LinearOp op(cpu::DetectIsa(), Pool());
  // One timing covers about 60 MB of weights, or one product when there are many rows.
  const int64_t calls = std::clamp<int64_t>((int64_t{60} << 20) / (weights.bytes_each * rows), 1,
                                            static_cast<int64_t>(weights.copies.size()));
  double best = 1e30;
  size_t next = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const double bandwidth = Bandwidth().Measure();
    const double peak = Peak().Measure();
    state.ResumeTiming();
    const double start = Seconds();
    for (int64_t i = 0; i < calls; ++i) {
      const LinearOutput output{&weights.copies[next++ % weights.copies.size()], y};
      op.Run(x, {&output, 1});
    }
    best = std::min(best, (Seconds() - start) / static_cast<double>(calls));
    const double bytes = static_cast<double>(weights.bytes_each) / best;
    const double operations = 2.0 * static_cast<double>(rows * out * in) / best;
    state.counters["us"] = best * 1e6;
    state.counters["GB/s"] = bytes / 1e9;
    state.counters["%read"] = 100.0 * bytes / bandwidth;
    state.counters["GFLOP/s"] = operations / 1e9;
    state.counters["%peak"] = 100.0 * operations / peak;
    state.counters["read_GB/s"] = bandwidth / 1e9;
    state.counters["peak_GFLOP/s"] = peak / 1e9;
  }
}

struct Shape {
  const char* name;
  int64_t out;
  int64_t in;
};

// Gemma 4 31B and its drafter: gate/up, down. Gemma 3 270M: gate/up, lm_head.
constexpr Shape kShapes[] = {{"31b_up", 21504, 5376},
                             {"31b_down", 5376, 21504},
                             {"270m_up", 2048, 640},
                             {"270m_lm_head", 262144, 640}};

void Register(const char* format_name, LinearFormat format, DType dtype) {
  for (const Shape& shape : kShapes) {
    for (const int64_t rows : {1, 4, 6, 16, 256}) {
      if (rows == 256 && shape.out > 100000) continue;
      const std::string name = fmt::format("{}/{}/{}/rows:{}", format_name, shape.name,
                                           dtype == DType::kF32 ? "f32" : "bf16", rows);
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
        BenchLinear(state, format, dtype, shape.out, shape.in, rows);
      })->Iterations(12);
    }
  }
}

}  // namespace
}  // namespace talon::bench

int main(int argc, char** argv) {
  using talon::DType;
  using talon::LinearFormat;
  talon::bench::Register("bf16", LinearFormat::kBF16, DType::kBF16);
  talon::bench::Register("nvfp4", LinearFormat::kNvfp4, DType::kBF16);
  talon::bench::Register("fp8", LinearFormat::kF8, DType::kBF16);
  talon::bench::Register("bf16", LinearFormat::kBF16, DType::kF32);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
