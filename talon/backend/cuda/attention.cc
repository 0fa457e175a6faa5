#include "talon/backend/cuda/attention.h"

#include <algorithm>

#include "talon/backend/cuda/attention_view.h"

namespace talon::cuda {
namespace {

constexpr int64_t kMaxHeadDim = 512;
constexpr int kLanesQueries = 8;

int64_t NumSplits(const AttentionParams& params) {
  const int64_t all = (params.table.stride * kKvPageTokens + kSplitTokens - 1) / kSplitTokens;
  if (params.window == 0) return all;
  // Rows that share a block may see one tile more than a row alone.
  return std::min(all, (params.window + kSplitTokens - 1) / kSplitTokens + 2);
}

// A lane's elements move as one word.
bool IsSupported(int64_t head_dim) {
  int64_t lane = 2;
  while (32 * lane < head_dim) lane *= 2;
  return head_dim <= kMaxHeadDim && head_dim % lane == 0;
}

// Tensor cores take BF16 queries and the usual head sizes.
bool SuitsTensorCores(const AttentionParams& params) {
  const int64_t dim = params.cache->head_dim;
  return params.q.dtype == DType::kBF16 && params.cache->dtype != DType::kF32 &&
         (dim == 64 || dim == 128 || dim == 256 || dim == 512);
}

// As many query heads as the KV head has, as many rows as a sequence has on average, `most` in all.
void ChooseQueries(AttentionView& a, int most) {
  a.group = a.heads / a.kv_heads;
  const int64_t rows = a.q.rows / std::max<int64_t>(1, a.rows.num_sequences);
  while (a.head_bits < 3 && a.BlockHeads() < a.group) ++a.head_bits;
  a.num_queries = a.BlockHeads();
  while (a.num_queries < most && a.BlockRows() < rows) a.num_queries *= 2;
  a.head_chunks = (a.group + a.BlockHeads() - 1) / a.BlockHeads();
}

cudaError_t LaunchTensorAttention(AttentionView& a, DType pages, cudaStream_t stream) {
  // Wider blocks read keys and values fewer times; narrow ones are more. With few rows and short
  // contexts there are too few to fill the device.
  constexpr int kLongSplits = 32;
  const bool wide = a.splits == nullptr || a.num_splits > kLongSplits;
  ChooseQueries(a, wide ? MostTensorQueries(a.head_dim) : 8);
  return pages == DType::kBF16 ? LaunchBf16TensorAttention(a, stream)
                               : LaunchFp8TensorAttention(a, stream);
}

}  // namespace

int64_t SplitBytes(const AttentionParams& params) {
  return params.q.rows * params.num_heads * NumSplits(params) * (params.cache->head_dim + 2) * 4;
}

int64_t ArrivalBytes(const AttentionParams& params) { return params.q.rows * params.num_heads * 4; }

cudaError_t LaunchAttention(const AttentionParams& params, const AttentionScratch& scratch,
                            cudaStream_t stream) {
  const KvLayer& layer = *params.cache;
  if (!IsSupported(layer.head_dim)) return cudaErrorInvalidValue;
  AttentionView a = {};
  a.q = params.q;
  a.out = params.out;
  a.rows = params.rows;
  a.table = params.table;
  a.keys = layer.keys.get();
  a.values = layer.values.get();
  a.kv_heads = static_cast<int>(layer.num_kv_heads);
  a.heads = static_cast<int>(params.num_heads);
  a.head_dim = static_cast<int>(layer.head_dim);
  a.window = static_cast<int>(params.window);
  a.scale = params.scale * layer.k_scale;
  a.v_scale = layer.v_scale;
  a.num_splits = static_cast<int>(NumSplits(params));
  a.splits = scratch.splits;
  a.arrivals = scratch.arrivals;
  if (scratch.tensor_cores && SuitsTensorCores(params)) {
    return LaunchTensorAttention(a, layer.dtype, stream);
  }
  ChooseQueries(a, kLanesQueries);
  if (layer.dtype == DType::kBF16) return LaunchBf16Attention(a, stream);
  if (layer.dtype == DType::kF8E4M3) return LaunchFp8Attention(a, stream);
  return LaunchF32Attention(a, stream);
}

}  // namespace talon::cuda
