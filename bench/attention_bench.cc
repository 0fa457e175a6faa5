// Attention over paged KV against the machine: a decode or verification step against the read
// bandwidth (every visible page is read once per KV head), a prefill chunk against the FP32 peak.
//
//   attention_bench [--benchmark_filter=31b]
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstring>
#include <numeric>

#include "bench/machine_limits.h"
#include "talon/backend/backend.h"
#include "talon/base/thread_pool.h"

namespace talon::bench {
namespace {

struct Shape {
  const char* name;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  int64_t window;
};

// Gemma 4 31B sliding and full layers, Gemma 3 270M sliding layers.
constexpr Shape kShapes[] = {{"31b_sliding", 32, 16, 256, 1024},
                             {"31b_full", 32, 4, 512, 0},
                             {"270m_sliding", 4, 1, 256, 512}};

ThreadPool& Pool() {
  static ThreadPool pool(0);
  return pool;
}

// Bytes whose halves are ordinary BF16 numbers.
Buffer MakeNumbers(Backend& backend, int64_t elements) {
  Buffer buffer = backend.Allocate(elements * 2);
  std::memset(buffer.get(), 0x3C, static_cast<size_t>(elements * 2));
  return buffer;
}

// `rows` queries at the end of a context of `tokens`, over as many layers as exceed the caches.
void BenchAttention(benchmark::State& state, const Shape& shape, int64_t tokens, int64_t rows) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 0});
  ReadBandwidth bandwidth(Pool());
  const int64_t pages = (tokens + kKvPageTokens - 1) / kKvPageTokens;
  const int64_t elements = pages * kKvPageTokens * shape.num_kv_heads * shape.head_dim;
  std::vector<KvLayer> layers;
  for (int64_t bytes = 0; bytes < (int64_t{128} << 20); bytes += elements * 4) {
    layers.push_back(backend->MakeKvLayer(pages, shape.num_kv_heads, shape.head_dim, DType::kBF16));
    std::memset(layers.back().keys.get(), 0x3C, static_cast<size_t>(elements * 2));
    std::memset(layers.back().values.get(), 0x3C, static_cast<size_t>(elements * 2));
  }
  const int64_t cols = shape.num_heads * shape.head_dim;
  const Buffer q = MakeNumbers(*backend, rows * cols);
  const Buffer out = MakeNumbers(*backend, rows * cols);
  std::vector<int32_t> positions(static_cast<size_t>(rows));
  std::iota(positions.begin(), positions.end(), static_cast<int32_t>(tokens - rows));
  std::vector<int32_t> table(static_cast<size_t>(pages));
  std::iota(table.begin(), table.end(), 0);
  const int32_t row_begin[] = {0, static_cast<int32_t>(rows)};
  AttentionParams params;
  params.q = {q.get(), DType::kBF16, rows, cols, cols};
  params.out = {out.get(), DType::kBF16, rows, cols, cols};
  params.num_heads = shape.num_heads;
  params.window = shape.window;
  params.rows = {rows, 1, row_begin, positions.data()};
  params.table = {table.data(), pages};

  double visible = 0.0;  // keys per KV head, summed over rows
  for (const int32_t position : positions) {
    const int64_t seen = position + 1;
    visible += static_cast<double>(shape.window == 0 ? seen : std::min(seen, shape.window));
  }
  const int64_t union_keys = shape.window == 0 ? tokens : std::min(tokens, shape.window + rows - 1);
  const double bytes =
      static_cast<double>(union_keys * shape.num_kv_heads * shape.head_dim) * 2.0 * 2.0;
  const double operations = 4.0 * visible * static_cast<double>(shape.num_heads * shape.head_dim);
  double best = 1e30;
  size_t next = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const double read = bandwidth.Measure();
    state.ResumeTiming();
    params.cache = &layers[next++ % layers.size()];
    const double start = Seconds();
    backend->Attention(params);
    best = std::min(best, Seconds() - start);
    state.counters["us"] = best * 1e6;
    state.counters["GB/s"] = bytes / best / 1e9;
    state.counters["%read"] = 100.0 * bytes / best / read;
    state.counters["GFLOP/s"] = operations / best / 1e9;
  }
}

}  // namespace
}  // namespace talon::bench

int main(int argc, char** argv) {
  for (const auto& shape : talon::bench::kShapes) {
    for (const int64_t tokens : {1024, 8192}) {
      for (const int64_t rows : {1, 6, 256}) {
        const std::string name = fmt::format("{}/tokens:{}/rows:{}", shape.name, tokens, rows);
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
          talon::bench::BenchAttention(state, shape, tokens, rows);
        })->Iterations(rows == 256 ? 5 : 40);
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
