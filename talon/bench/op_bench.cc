#include "talon/bench/op_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "talon/bench/device_batch.h"
#include "talon/bench/random_source.h"

namespace talon {
namespace {

// More than any cache in use holds, several times over.
constexpr int64_t kRotatedBytes = int64_t{400} << 20;
constexpr int64_t kMinCopies = 3;

struct LinearShape {
  std::string name;
  std::vector<int64_t> out_features;  // of linears that share a launch
  int64_t in_features = 0;
  LinearFormat format = LinearFormat::kNvfp4;
};

std::vector<LinearShape> ShapesOf(const GemmaConfig& config) {
  const int64_t hidden = config.hidden_size;
  const auto q = [&](const AttentionConfig& a) { return config.num_attention_heads * a.head_dim; };
  const auto kv = [&](const AttentionConfig& a) { return a.num_kv_heads * a.head_dim; };
  const int64_t wide = config.intermediate_size;
  return {{"gate+up", {wide, wide}, hidden},
          {"down", {hidden}, wide},
          {"q+k+v sliding", {q(config.sliding), kv(config.sliding), kv(config.sliding)}, hidden},
          {"q+k full", {q(config.full), kv(config.full)}, hidden},
          {"o sliding", {hidden}, q(config.sliding)},
          {"o full", {hidden}, q(config.full)},
          {"lm_head", {config.vocab_size}, hidden, LinearFormat::kBF16}};
}

int64_t BytesOf(const LinearShape& shape) {
  int64_t bytes = 0;
  for (const int64_t out : shape.out_features) {
    bytes += LinearBytes(shape.format, out, shape.in_features);
  }
  return bytes;
}

Tensor NewTensor(Backend& backend, int64_t rows, int64_t cols, DType dtype,
                 std::vector<Buffer>& owned) {
  owned.push_back(backend.Allocate(rows * cols * SizeOf(dtype)));
  return {owned.back().get(), dtype, rows, cols, cols};
}

void BenchLinear(const BenchReport& report, const LinearShape& shape,
                 const std::vector<int64_t>& rows) {
  Backend& backend = report.backend();
  const int64_t bytes = BytesOf(shape);
  const int64_t copies =
      bytes > kRotatedBytes ? 1 : std::max(kMinCopies, kRotatedBytes / bytes + 1);
  std::vector<Buffer> owned;
  std::vector<std::vector<LinearWeight>> weights(static_cast<size_t>(copies));
  uint64_t seed = 1;
  for (auto& copy : weights) {
    for (const int64_t out : shape.out_features) {
      copy.push_back(backend.MakeRandomLinear(shape.format, out, shape.in_features, seed++));
    }
  }
  const int64_t max_rows = *std::max_element(rows.begin(), rows.end());
  const Tensor x = NewTensor(backend, max_rows, shape.in_features, DType::kBF16, owned);
  backend.FillRandom(x, 1.0f, 7);
  std::vector<Tensor> outs;
  for (const int64_t out : shape.out_features) {
    outs.push_back(NewTensor(backend, max_rows, out, DType::kBF16, owned));
  }
  for (const int64_t count : rows) {
    const double seconds = report.TimeOps([&] {
      for (const auto& copy : weights) {
        std::vector<LinearOutput> outputs;
        for (size_t i = 0; i < copy.size(); ++i) {
          outputs.push_back({&copy[i], outs[i].Rows(0, count)});
        }
        backend.Linear(x.Rows(0, count), outputs);
      }
    });
    report.Line(fmt::format("{}, {} rows", shape.name, count),
                seconds / static_cast<double>(copies), bytes);
  }
}

struct AttentionShape {
  const char* name;
  AttentionConfig attention;
  int64_t window;
};

void BenchAttentionShape(const BenchReport& report, const GemmaConfig& config,
                         const AttentionShape& shape, int64_t context,
                         const std::vector<int64_t>& rows) {
  Backend& backend = report.backend();
  const AttentionConfig& attention = shape.attention;
  const int64_t pages = (context + kKvPageTokens - 1) / kKvPageTokens;
  const int64_t token_bytes = attention.num_kv_heads * attention.head_dim * 2 * 2;
  const int64_t copies = std::clamp<int64_t>(kRotatedBytes / (context * token_bytes), 1, 16);
  const int64_t max_rows = *std::max_element(rows.begin(), rows.end());
  std::vector<Buffer> owned;
  std::vector<KvLayer> layers;
  for (int64_t i = 0; i < copies; ++i) {
    layers.push_back(
        backend.MakeKvLayer(pages, attention.num_kv_heads, attention.head_dim, DType::kBF16));
    const int64_t width = attention.num_kv_heads * attention.head_dim;
    for (const Buffer& buffer : {layers.back().keys, layers.back().values}) {
      backend.FillRandom({buffer.get(), DType::kBF16, pages * kKvPageTokens, width, width}, 0.3f,
                         static_cast<uint64_t>(i) + 11);
    }
  }
  const int64_t width = config.num_attention_heads * attention.head_dim;
  const Tensor q = NewTensor(backend, max_rows, width, DType::kBF16, owned);
  const Tensor out = NewTensor(backend, max_rows, width, DType::kBF16, owned);
  backend.FillRandom(q, 0.3f, 5);
  for (const int64_t count : rows) {
    DeviceBatch batch(backend, count, 1, pages);
    batch.Set({{static_cast<int32_t>(count)}, {static_cast<int32_t>(context - count)}});
    batch.Upload();
    const ForwardBatch forward = batch.Batch(count, nullptr);
    const double seconds = report.TimeOps([&] {
      for (KvLayer& layer : layers) {
        AttentionParams params;
        params.q = q.Rows(0, count);
        params.out = out.Rows(0, count);
        params.num_heads = config.num_attention_heads;
        params.window = shape.window;
        params.rows = forward.rows;
        params.table = forward.tables.global;
        params.cache = &layer;
        backend.Attention(params);
      }
    });
    const int64_t visible = shape.window == 0 ? context : std::min(context, shape.window);
    report.Line(fmt::format("{}, {} tokens, {} rows", shape.name, context, count),
                seconds / static_cast<double>(copies), visible * token_bytes);
  }
}

}  // namespace

void BenchLinears(const BenchReport& report, const GemmaConfig& config,
                  const std::vector<int64_t>& rows) {
  report.Section("Linears, NVFP4 (lm_head: BF16), cold caches");
  for (const LinearShape& shape : ShapesOf(config)) BenchLinear(report, shape, rows);
}

void BenchAttention(const BenchReport& report, const GemmaConfig& config,
                    const std::vector<int64_t>& contexts, const std::vector<int64_t>& rows) {
  report.Section("Attention, one layer, BF16 pages (bytes: visible keys and values once)");
  for (const int64_t context : contexts) {
    const AttentionShape shapes[] = {{"sliding", config.sliding, config.sliding_window},
                                     {"full", config.full, 0}};
    for (const AttentionShape& shape : shapes) {
      BenchAttentionShape(report, config, shape, context, rows);
    }
  }
}

}  // namespace talon
