// Paged attention, FP32 throughout. A block does one KV head and kQueries queries: the query heads
// of its group for as many consecutive rows of one sequence as that leaves; they share
// the loads of keys and values. Keys are walked in tiles of kSplitTokens at absolute positions,
// ascending; a tile is a split, and split results are merged left to right, either by the block
// that walks them all or by the last block to finish: the same operations, the same bits. No
// query's numbers depend on the other queries of its block.
//
// Inside a tile a warp takes a key at a time, its lanes kLane dimensions each: products in
// ascending order, then a butterfly over lanes (halving the queries as it goes). Weights are
// exp(score - tile maximum), added per lane and then by a butterfly. For the weighted sum warp w
// takes positions w, w + 8, ... of the tile in ascending order; the eight sums are added by the
// balanced tree.
#pragma once

#include "talon/backend/cuda/attention_cache.cuh"
#include "talon/backend/cuda/attention_view.h"

namespace talon::cuda {

inline constexpr int kAttentionWarps = 8;
inline constexpr int kAttentionThreads = 32 * kAttentionWarps;
inline constexpr int kTile = static_cast<int>(kSplitTokens);
inline constexpr int kTilePages = kTile / static_cast<int>(kKvPageTokens);

// Keys visible to a row: [begin, end).
struct Visible {
  int64_t begin;
  int64_t end;
};
__device__ __forceinline__ Visible VisibleKeys(const AttentionView& a, int64_t row) {
  const int64_t position = a.rows.positions[row];
  const int64_t begin = a.window == 0 ? 0 : position - a.window + 1;
  return {begin < 0 ? 0 : begin, position + 1};
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

// Adds v[q] over the lanes; afterwards v[0] is the total of query `lane * kQueries / 32`.
template <int kQueries>
__device__ __forceinline__ void SumQueries(float (&v)[kQueries], int lane) {
  int step = 16;
#pragma unroll
  for (int left = kQueries; left > 1; left /= 2, step /= 2) {
    const bool upper = (lane & step) != 0;
#pragma unroll
    for (int q = 0; q < left / 2; ++q) {
      const float kept = upper ? v[q + left / 2] : v[q];
      const float given = upper ? v[q] : v[q + left / 2];
      v[q] = __fadd_rn(kept, __shfl_xor_sync(0xFFFFFFFFu, given, step));
    }
  }
#pragma unroll
  for (int rest = 16 / kQueries; rest > 0; rest /= 2) {
    v[0] = __fadd_rn(v[0], __shfl_xor_sync(0xFFFFFFFFu, v[0], rest));
  }
}

template <class CacheOf, int kQueriesOf, int kLaneOf>
struct AttentionShape {
  using Cache = CacheOf;
  static constexpr int kQueries = kQueriesOf;
  static constexpr int kLane = kLaneOf;       // dimensions of a lane
  static constexpr int kPadded = 32 * kLane;  // the head's dimensions, rounded up
  static constexpr int kSumCount = kQueries * kPadded;
  static constexpr int kOutputs = (kSumCount + kAttentionThreads - 1) / kAttentionThreads;
  // Tokens whose loads a warp has in flight.
  static constexpr int kTokens = kLane * Cache::kElementBytes >= 32 ? 4 : 8;

  // Shared memory.
  static constexpr int kStateOffset = kQueries * kTile * 4;
  static constexpr int kRangeOffset = kStateOffset + kQueries * 8;
  static constexpr int kPagesOffset = kRangeOffset + kQueries * 16;
  static constexpr int kSumOffset = (kPagesOffset + kTilePages * 4 + 15) / 16 * 16;
  static constexpr int kSharedBytes = kSumOffset + kAttentionWarps * kSumCount * 4;
};

// Rows [first_row, first_row + num_rows) of one sequence against one KV head.
template <class Shape>
struct AttentionBlock {
  static constexpr int kLane = Shape::kLane;
  static constexpr int kQueries = Shape::kQueries;
  using Cache = typename Shape::Cache;
  using Raw = RawElements<kLane, Cache::kElementBytes>;

  const AttentionView& a;
  float* weights;       // shared [kQueries][kTile]: scores, then exp-weights
  SoftmaxState* state;  // shared [kQueries]
  Visible* visible;     // shared [rows of a block]
  int* pages;           // shared [kTilePages]
  float* partial;       // shared [kAttentionWarps][kQueries][kPadded]
  int64_t first_row = 0, sequence = 0, kv_head, first_head;
  int num_rows = 0;
  int live_heads, lane, warp;
  bool live_lane;
  float sums[Shape::kOutputs];  // entries t, t + kAttentionThreads, ... of [kQueries][kPadded]

  __device__ AttentionBlock(const AttentionView& view, uint8_t* shared) : a(view) {
    weights = reinterpret_cast<float*>(shared);
    state = reinterpret_cast<SoftmaxState*>(shared + Shape::kStateOffset);
    visible = reinterpret_cast<Visible*>(shared + Shape::kRangeOffset);
    pages = reinterpret_cast<int*>(shared + Shape::kPagesOffset);
    partial = reinterpret_cast<float*>(shared + Shape::kSumOffset);
    lane = threadIdx.x % 32;
    warp = threadIdx.x / 32;
    const int64_t group = a.heads / a.kv_heads;
    const int64_t chunks = (group + a.BlockHeads() - 1) / a.BlockHeads();
    kv_head = blockIdx.y / chunks;
    const int64_t in_group = blockIdx.y % chunks * a.BlockHeads();
    first_head = kv_head * group + in_group;
    live_heads = static_cast<int>(min(static_cast<int64_t>(a.BlockHeads()), group - in_group));
    live_lane = static_cast<int64_t>(lane) * kLane < a.head_dim;
  }

  // Queries go row by row.
  __device__ int RowOf(int query) const { return query >> a.head_bits; }
  __device__ int HeadOf(int query) const { return query & (a.BlockHeads() - 1); }
  __device__ bool IsLive(int query) const {
    return RowOf(query) < num_rows && HeadOf(query) < live_heads;
  }

  __device__ void PointAt(int64_t row, int rows, int64_t of_sequence) {
    first_row = row;
    num_rows = rows;
    sequence = of_sequence;
    __syncthreads();
    if (threadIdx.x < Shape::kQueries >> a.head_bits) {
      const int64_t index = first_row + min(static_cast<int>(threadIdx.x), num_rows - 1);
      visible[threadIdx.x] = VisibleKeys(a, index);
    }
    __syncthreads();
  }
  // What any of the rows sees.
  __device__ Visible AllVisible() const { return {visible[0].begin, visible[num_rows - 1].end}; }

  // Where this lane's part of a key or value begins; `token` counts from the tile's first.
  __device__ __forceinline__ const uint8_t* LaneAt(const void* cache, int token) const {
    const int64_t index = KvIndex(a.kv_heads, a.head_dim, pages[token / kKvPageTokens], kv_head,
                                  token % kKvPageTokens) +
                          lane * kLane;
    return static_cast<const uint8_t*>(cache) + index * Cache::kElementBytes;
  }
  __device__ __forceinline__ void LoadToken(const void* cache, int token, int begin, int end,
                                            Raw& raw) const {
    raw.Clear();
    if (token >= begin && token < end && live_lane) raw.LoadFrom(LaneAt(cache, token));
  }

  __device__ void LoadQueries(float (&q)[kQueries][kLane]) const {
#pragma unroll
    for (int n = 0; n < kQueries; ++n) {
      const int64_t row = first_row + RowOf(n);
      const int64_t column = (first_head + HeadOf(n)) * a.head_dim + lane * kLane;
      const int64_t at = row * a.q.row_stride + column;
      const bool live = IsLive(n) && live_lane;
      if (a.q.dtype == DType::kBF16) {
        RawElements<kLane, 2> raw;
        raw.Clear();
        if (live) raw.LoadFrom(static_cast<const uint16_t*>(a.q.data) + at);
#pragma unroll
        for (int i = 0; i < kLane; ++i) q[n][i] = Bf16Cache::Value<kLane>(raw, i);
      } else {
#pragma unroll
        for (int i = 0; i < kLane; ++i) {
          q[n][i] = live ? static_cast<const float*>(a.q.data)[at + i] : 0.0f;
        }
      }
    }
  }

  // Scores of the tile at `base`; -inf where a query does not see the key.
  __device__ void Scores(int64_t base, int begin, int end) const {
    float q[kQueries][kLane];
    LoadQueries(q);
    constexpr int kTokens = Shape::kTokens;
    const int mine = lane * kQueries / 32;
    const Visible range = visible[RowOf(mine)];
    for (int first = warp * kTokens; first < kTile; first += kAttentionWarps * kTokens) {
      Raw key[kTokens];
#pragma unroll
      for (int j = 0; j < kTokens; ++j) LoadToken(a.keys, first + j, begin, end, key[j]);
#pragma unroll
      for (int j = 0; j < kTokens; ++j) {
        float sum[kQueries];
#pragma unroll
        for (int n = 0; n < kQueries; ++n) {
          sum[n] = 0.0f;
#pragma unroll
          for (int i = 0; i < kLane; ++i) {
            sum[n] = __fmaf_rn(q[n][i], Cache::template Value<kLane>(key[j], i), sum[n]);
          }
        }
        SumQueries<kQueries>(sum, lane);
        const int64_t position = base + first + j;
        const bool seen = position >= range.begin && position < range.end;
        if (lane % (32 / kQueries) == 0) {
          weights[mine * kTile + first + j] = seen ? __fmul_rn(sum[0], a.scale) : -INFINITY;
        }
      }
    }
  }

  // Scores to exp-weights; warp n does query n. A query that sees nothing here gets zeros.
  __device__ void Softmax() const {
    if (warp >= kQueries) return;
    float* w = weights + warp * kTile;
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
    if (lane == 0) state[warp] = {largest, sum};
  }

  __device__ void AddTokens(const Raw (&value)[Shape::kTokens], int first,
                            float (&sum)[kQueries][kLane]) const {
#pragma unroll
    for (int j = 0; j < Shape::kTokens; ++j) {
#pragma unroll
      for (int n = 0; n < kQueries; ++n) {
        const float weight = weights[n * kTile + first + j * kAttentionWarps];
#pragma unroll
        for (int i = 0; i < kLane; ++i) {
          sum[n][i] = __fmaf_rn(weight, Cache::template Value<kLane>(value[j], i), sum[n][i]);
        }
      }
    }
  }

  // The eight warps' sums by the balanced tree.
  __device__ void AddWarps(const float (&sum)[kQueries][kLane]) {
#pragma unroll
    for (int n = 0; n < kQueries; ++n) {
#pragma unroll
      for (int i = 0; i < kLane; ++i) {
        partial[warp * Shape::kSumCount + n * Shape::kPadded + i * 32 + lane] = sum[n][i];
      }
    }
    __syncthreads();
#pragma unroll
    for (int o = 0; o < Shape::kOutputs; ++o) {
      const int at = threadIdx.x + o * kAttentionThreads;
      if (at >= Shape::kSumCount) break;
      float part[kAttentionWarps];
#pragma unroll
      for (int w = 0; w < kAttentionWarps; ++w) part[w] = partial[w * Shape::kSumCount + at];
      sums[o] = __fadd_rn(__fadd_rn(__fadd_rn(part[0], part[1]), __fadd_rn(part[2], part[3])),
                          __fadd_rn(__fadd_rn(part[4], part[5]), __fadd_rn(part[6], part[7])));
    }
  }

  // Query and column of entry `at` of [kQueries][kPadded], where lane l's i-th dimension,
  // kLane l + i, is stored at 32 i + l.
  __device__ static int QueryOf(int at) { return at / Shape::kPadded; }
  __device__ static int ColumnOf(int at) { return at % 32 * kLane + at % Shape::kPadded / 32; }

  // One tile: leaves the states in shared memory and the weighted sums in `sums`.
  __device__ void WalkTile(int64_t tile) {
    const int64_t base = tile * kTile;
    const Visible all = AllVisible();
    const int begin = static_cast<int>(max(all.begin - base, static_cast<int64_t>(0)));
    const int end = static_cast<int>(min(all.end - base, static_cast<int64_t>(kTile)));
    __syncthreads();
    if (threadIdx.x < kTilePages) {
      const int64_t page = tile * kTilePages + threadIdx.x;
      pages[threadIdx.x] =
          page < a.table.stride ? a.table.pages[sequence * a.table.stride + page] : -1;
    }
    __syncthreads();
    Scores(base, begin, end);
    constexpr int kTokens = Shape::kTokens;
    constexpr int kStep = kAttentionWarps * kTokens;
    Raw value[kTokens];
#pragma unroll
    for (int j = 0; j < kTokens; ++j) {
      LoadToken(a.values, warp + j * kAttentionWarps, begin, end, value[j]);
    }
    __syncthreads();
    Softmax();
    __syncthreads();
    float sum[kQueries][kLane] = {};
    AddTokens(value, warp, sum);
    for (int first = warp + kStep; first < kTile; first += kStep) {
#pragma unroll
      for (int j = 0; j < kTokens; ++j) {
        LoadToken(a.values, first + j * kAttentionWarps, begin, end, value[j]);
      }
      AddTokens(value, first, sum);
    }
    AddWarps(sum);
  }
};

}  // namespace talon::cuda
