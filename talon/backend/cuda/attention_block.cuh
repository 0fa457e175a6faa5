// What the attention kernels share. A block does one KV head and some queries: the query heads of
// its group for consecutive rows of one sequence, which share the loads of keys and values. Keys
// are walked in tiles of kSplitTokens at absolute positions, ascending; a tile is a split, and
// split results are merged left to right, either by the block that walks them all or by the last
// block to finish: the same operations, the same bits. No query's numbers depend on the other
// queries of its block. Scores, weights exp(score - tile maximum) and sums are FP32.
#pragma once

#include "talon/backend/cuda/attention_view.h"
#include "talon/backend/cuda/element.cuh"

namespace talon::cuda {

inline constexpr int kAttentionWarps = 8;
inline constexpr int kAttentionThreads = 32 * kAttentionWarps;
inline constexpr int kTile = static_cast<int>(kSplitTokens);
inline constexpr int kTilePages = kTile / static_cast<int>(kKvPageTokens);
inline constexpr int kWeightStride = kTile + 8;  // of queries in shared memory, spreads banks

// Keys visible to a row: [begin, end).
struct Visible {
  int begin;
  int end;
};
__device__ __forceinline__ Visible VisibleKeys(const AttentionView& a, int row) {
  const int position = a.rows.positions[row];
  return {a.window == 0 ? 0 : max(0, position - a.window + 1), position + 1};
}

// The largest score of a query so far and the sum of its exp-weights relative to it.
struct SoftmaxState {
  float m;
  float l;
};

// Folds (m, l) into `total` and returns the factors of the old and the new weighted sum.
__device__ __forceinline__ float2 Merge(SoftmaxState& total, SoftmaxState part, bool first) {
  if (first) {
    total = part;
    return make_float2(0.0f, 1.0f);
  }
  const float m = fmaxf(total.m, part.m);
  const float2 factor = make_float2(expf(total.m - m), expf(part.m - m));
  total.l = __fadd_rn(__fmul_rn(total.l, factor.x), __fmul_rn(part.l, factor.y));
  total.m = m;
  return factor;
}
__device__ __forceinline__ float MergeValue(float total, float part, float2 factor, bool first) {
  if (first) return part;
  return __fadd_rn(__fmul_rn(total, factor.x), __fmul_rn(part, factor.y));
}

// Sizes that follow from a block's queries, the columns it stores of each (the head's dimensions,
// rounded up), and the parts in which it computes weighted sums.
template <int kQueriesOf, int kColumnsOf, int kColumnStrideOf, int kPartsOf>
struct AttentionSizes {
  static constexpr int kQueries = kQueriesOf;
  static constexpr int kColumns = kColumnsOf;
  static constexpr int kColumnStride = kColumnStrideOf;
  static constexpr int kParts = kPartsOf;
  static constexpr int kPartCount = kQueries * kColumnStride;
  static constexpr int kSumCount = kQueries * kColumns;
  static constexpr int kOutputs = (kSumCount + kAttentionThreads - 1) / kAttentionThreads;

  // Shared memory.
  static constexpr int kStateOffset = kQueries * kWeightStride * 4;
  static constexpr int kRangeOffset = kStateOffset + kQueries * 8;
  static constexpr int kTokensOffset = kRangeOffset + kQueries * 8;
  static constexpr int kMergeOffset = kTokensOffset + kQueries * 8;
  static constexpr int kPagesOffset = kMergeOffset + kQueries * 16;
  static constexpr int kSumOffset = (kPagesOffset + kTilePages * 8 + 15) / 16 * 16;
  static constexpr int kSharedBytes = kSumOffset + kParts * kPartCount * 4;
};

// Tokens of a tile, [begin, end) from its first.
struct TileTokens {
  int begin;
  int end;
  __device__ __forceinline__ bool Has(int token) const { return token >= begin && token < end; }
};

// How a tile's result joins what a query has so far.
struct MergeStep {
  float2 factor;
  bool seen;   // the query sees a key of the tile
  bool first;  // the first such tile
};

// Rows [first_row, first_row + num_rows) of one sequence against one KV head.
template <class ShapeOf>
struct AttentionBlock {
  using Shape = ShapeOf;
  const AttentionView& a;
  float* weights;       // shared [kQueries][kWeightStride]: scores, then exp-weights
  SoftmaxState* state;  // shared [kQueries]
  Visible* visible;     // shared [kQueries]: of the block's rows
  TileTokens* seen;     // shared [kQueries]: of the tile
  MergeStep* merge;     // shared [kQueries]
  int64_t* page_at;     // shared [kTilePages]: elements before the page's first of the KV head
  float* partial;       // shared [kParts][kQueries][kColumnStride]
  int first_row = 0, num_rows = 0, sequence = 0;
  int kv_head, first_head, live_heads, lane, warp;

  __device__ AttentionBlock(const AttentionView& view, uint8_t* shared) : a(view) {
    weights = reinterpret_cast<float*>(shared);
    state = reinterpret_cast<SoftmaxState*>(shared + Shape::kStateOffset);
    visible = reinterpret_cast<Visible*>(shared + Shape::kRangeOffset);
    seen = reinterpret_cast<TileTokens*>(shared + Shape::kTokensOffset);
    merge = reinterpret_cast<MergeStep*>(shared + Shape::kMergeOffset);
    page_at = reinterpret_cast<int64_t*>(shared + Shape::kPagesOffset);
    partial = reinterpret_cast<float*>(shared + Shape::kSumOffset);
    lane = threadIdx.x % 32;
    warp = threadIdx.x / 32;
    kv_head = a.head_chunks == 1 ? blockIdx.y : blockIdx.y / a.head_chunks;
    const int in_group = (blockIdx.y - kv_head * a.head_chunks) * a.BlockHeads();
    first_head = kv_head * a.group + in_group;
    live_heads = min(a.BlockHeads(), a.group - in_group);
  }

  // Queries go row by row.
  __device__ int RowOf(int query) const { return query >> a.head_bits; }
  __device__ int HeadOf(int query) const { return query & (a.BlockHeads() - 1); }
  __device__ bool IsLive(int query) const {
    return RowOf(query) < num_rows && HeadOf(query) < live_heads;
  }

  __device__ void PointAt(int row, int rows, int of_sequence) {
    first_row = row;
    num_rows = rows;
    sequence = of_sequence;
    __syncthreads();
    if (threadIdx.x < Shape::kQueries) {
      visible[threadIdx.x] =
          VisibleKeys(a, first_row + min(static_cast<int>(threadIdx.x), num_rows - 1));
    }
    __syncthreads();
  }
  // What any of the rows sees.
  __device__ Visible AllVisible() const { return {visible[0].begin, visible[num_rows - 1].end}; }

  __device__ static TileTokens Clip(const Visible& v, int base) {
    return {max(v.begin - base, 0), min(v.end - base, kTile)};
  }
  // Makes a tile the current one: its pages, the tokens that each query sees. Returns those that
  // any row sees.
  __device__ TileTokens OpenTile(int tile) {
    __syncthreads();
    if (threadIdx.x < kTilePages) {
      const int page = tile * kTilePages + static_cast<int>(threadIdx.x);
      const int id = page < a.table.stride ? a.table.pages[sequence * a.table.stride + page] : -1;
      page_at[threadIdx.x] = KvIndex(a.kv_heads, a.head_dim, id, kv_head, 0);
    }
    if (threadIdx.x < Shape::kQueries) {
      seen[threadIdx.x] = Clip(visible[RowOf(threadIdx.x)], tile * kTile);
    }
    __syncthreads();
    return Clip(AllVisible(), tile * kTile);
  }
  // Where token `token` of the tile begins in keys or values, in elements.
  __device__ __forceinline__ int64_t TokenAt(int token) const {
    return page_at[token / kKvPageTokens] + token % kKvPageTokens * a.head_dim;
  }

  __device__ __forceinline__ void StoreScore(int query, int token, float product) const {
    weights[query * kWeightStride + token] =
        seen[query].Has(token) ? __fmul_rn(product, a.scale) : -INFINITY;
  }

  // Scores to exp-weights, a query a warp. A query that sees nothing here gets zeros.
  __device__ void Softmax() const {
#pragma unroll 1
    for (int query = warp; query < Shape::kQueries; query += kAttentionWarps) {
      if (!IsLive(query)) continue;
      float* w = weights + query * kWeightStride;
      constexpr int kEach = kTile / 32;
      float score[kEach];
      float largest = -INFINITY;
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        score[i] = w[i * 32 + lane];
        largest = fmaxf(largest, score[i]);
      }
#pragma unroll
      for (int step = 16; step > 0; step /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, step));
      }
      const float base = largest == -INFINITY ? 0.0f : largest;
      float sum = 0.0f;
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const float weight = expf(score[i] - base);
        w[i * 32 + lane] = weight;
        sum = __fadd_rn(sum, weight);
      }
      sum = WarpSum(sum);
      if (lane == 0) state[query] = {largest, sum};
    }
  }

  // The parts' sums of live queries by the balanced tree: calls on_sum(o, query, sum) for this
  // thread's entries t + o * kAttentionThreads of [kQueries][kColumns].
  template <class OnSum>
  __device__ __forceinline__ void AddParts(OnSum on_sum) const {
    __syncthreads();
#pragma unroll
    for (int o = 0; o < Shape::kOutputs; ++o) {
      const int at = threadIdx.x + o * kAttentionThreads;
      const int query = at / Shape::kColumns;
      if (query >= Shape::kQueries) break;
      if (!IsLive(query)) continue;
      const int stored = query * Shape::kColumnStride + at % Shape::kColumns;
      float part[Shape::kParts];
#pragma unroll
      for (int i = 0; i < Shape::kParts; ++i) part[i] = partial[i * Shape::kPartCount + stored];
#pragma unroll
      for (int step = 1; step < Shape::kParts; step *= 2) {
#pragma unroll
        for (int i = 0; i < Shape::kParts; i += 2 * step) {
          part[i] = __fadd_rn(part[i], part[i + step]);
        }
      }
      on_sum(o, query, part[0]);
    }
  }
};

}  // namespace talon::cuda
