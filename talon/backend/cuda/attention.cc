#include "talon/backend/cuda/attention.h"

#include <algorithm>

#include "talon/backend/cuda/attention_view.h"

namespace talon::cuda {
namespace {

constexpr int64_t kMaxHeadDim = 512;
constexpr int kMaxQueries = 8;

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

// As many query heads as the KV head has, as many rows as a sequence has on average, eight in all.
void ChooseQueries(AttentionView& a) {
  const int64_t group = a.heads / a.kv_heads;
  const int64_t rows = a.q.rows / std::max<int64_t>(1, a.rows.num_sequences);
  while (a.head_bits < 3 && a.BlockHeads() < group) ++a.head_bits;
  a.num_queries = a.BlockHeads();
  while (a.num_queries < kMaxQueries && (a.num_queries >> a.head_bits) < rows) a.num_queries *= 2;
  a.num_queries = std::max(a.num_queries, 2);
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
  a.kv_heads = layer.num_kv_heads;
  a.heads = params.num_heads;
  a.head_dim = layer.head_dim;
  a.window = params.window;
  a.scale = params.scale * layer.k_scale;
  a.v_scale = layer.v_scale;
  ChooseQueries(a);
  a.num_splits = NumSplits(params);
  a.splits = scratch.splits;
  a.arrivals = scratch.arrivals;
  if (layer.dtype == DType::kBF16) return LaunchBf16Attention(a, stream);
  if (layer.dtype == DType::kF8E4M3) return LaunchFp8Attention(a, stream);
  return LaunchF32Attention(a, stream);
}

}  // namespace talon::cuda
