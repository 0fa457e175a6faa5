// Paged attention for one row, one KV head and up to eight of its query heads per block, FP32
// throughout. Keys are walked in tiles of kSplitTokens at absolute positions, ascending; a tile is
// a split, and split results are merged left to right, either by the block that walks them all or
// by a second kernel: the same operations, the same bits.
//
// Inside a tile a warp takes a key at a time, its lanes kLane dimensions each: products in
// ascending order, then a butterfly over lanes (halving the heads as it goes). Weights are
// exp(score - tile maximum), added per lane and then by a butterfly. For the weighted sum warp w
// takes positions w, w + 8, ... of the tile in ascending order; the eight sums are added by the
// balanced tree.
#pragma once

#include "talon/backend/cuda/attention.h"
#include "talon/backend/cuda/element.cuh"
#include "talon/backend/cuda/launch.cuh"

namespace talon::cuda {

inline constexpr int kAttentionWarps = 8;
inline constexpr int kAttentionThreads = 32 * kAttentionWarps;
inline constexpr int kSplitPages = static_cast<int>(kSplitTokens / kKvPageTokens);

struct AttentionView {
  Tensor q;
  Tensor out;
  RowBatch rows;
  BlockTable table;
  const void* keys;
  const void* values;
  int64_t kv_heads;
  int64_t heads;
  int64_t head_dim;
  int64_t window;
  float scale;  // of the scores, k_scale included
  float v_scale;
  DType dtype;
  int64_t num_splits;  // of a block of their own each; 0: one block walks all
  float* splits;       // [row][head][split][head_dim + 2]
};

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

// m, l and the weighted sum of one head: exp-weights relative to m.
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

// kLane consecutive elements of the cache from `index` on; `live` counts those inside the head.
template <int kLane>
__device__ __forceinline__ void LoadCache(const void* data, DType dtype, int64_t index, int live,
                                          float (&values)[kLane]) {
  if (dtype == DType::kBF16 && kLane >= 8 && live == kLane) {
    const auto* words = reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(data) + index);
#pragma unroll
    for (int w = 0; w < kLane / 8; ++w) {
      const uint4 four = words[w];
      const uint32_t word[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        values[8 * w + 2 * i] = __uint_as_float(word[i] << 16);
        values[8 * w + 2 * i + 1] = __uint_as_float(word[i] & 0xFFFF0000u);
      }
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kLane; ++i) {
    values[i] = i < live ? LoadElement(data, dtype, index + i) : 0.0f;
  }
}

// Adds v[h] over the lanes; afterwards v[0] is the total of head `lane * kHeads / 32`.
template <int kHeads>
__device__ __forceinline__ void SumHeads(float (&v)[kHeads], int lane) {
  int step = 16;
#pragma unroll
  for (int heads = kHeads; heads > 1; heads /= 2, step /= 2) {
    const bool upper = (lane & step) != 0;
#pragma unroll
    for (int h = 0; h < heads / 2; ++h) {
      const float kept = upper ? v[h + heads / 2] : v[h];
      const float given = upper ? v[h] : v[h + heads / 2];
      v[h] = __fadd_rn(kept, __shfl_xor_sync(0xFFFFFFFFu, given, step));
    }
  }
  for (; step > 0; step /= 2) v[0] = __fadd_rn(v[0], __shfl_xor_sync(0xFFFFFFFFu, v[0], step));
}

template <int kHeads, int kLane>
struct AttentionBlock {
  static constexpr int kHeadCount = kHeads;
  static constexpr int kPadded = 32 * kLane;  // the head's dimensions, rounded up
  static constexpr int kSumCount = kHeads * kPadded;
  static constexpr int kOutputs = (kSumCount + kAttentionThreads - 1) / kAttentionThreads;
  static constexpr int kKeys = kLane >= 16 ? 2 : 4;  // keys in flight per warp
  static constexpr int kStateOffset = kHeads * static_cast<int>(kSplitTokens) * 4;
  static constexpr int kPagesOffset = kStateOffset + kHeads * 8;
  static constexpr int kSumOffset = (kPagesOffset + kSplitPages * 4 + 15) / 16 * 16;
  static constexpr int kSharedBytes = kSumOffset + kAttentionWarps * kSumCount * 4;

  const AttentionView& a;
  float* weights;       // shared [kHeads][kSplitTokens]: scores, then exp-weights
  SoftmaxState* state;  // shared [kHeads]
  int* pages;           // shared [kSplitPages]
  float* partial;       // shared [kAttentionWarps][kHeads][kPadded]
  int64_t row, sequence, kv_head, first_head;
  int live_heads, live_lane, lane, warp;
  float sums[kOutputs];  // thread t: entries t, t + kAttentionThreads, ... of [kHeads][kPadded]

  __device__ AttentionBlock(const AttentionView& view, uint8_t* shared) : a(view) {
    weights = reinterpret_cast<float*>(shared);
    state = reinterpret_cast<SoftmaxState*>(shared + kStateOffset);
    pages = reinterpret_cast<int*>(shared + kPagesOffset);
    partial = reinterpret_cast<float*>(shared + kSumOffset);
    lane = threadIdx.x % 32;
    warp = threadIdx.x / 32;
    row = blockIdx.x;
    sequence = SequenceOf(a.rows, row);
    const int64_t group = a.heads / a.kv_heads;
    const int64_t chunks = (group + kHeads - 1) / kHeads;
    kv_head = blockIdx.y / chunks;
    const int64_t in_group = blockIdx.y % chunks * kHeads;
    first_head = kv_head * group + in_group;
    live_heads = static_cast<int>(min(static_cast<int64_t>(kHeads), group - in_group));
    live_lane = static_cast<int>(
        max(static_cast<int64_t>(0),
            min(static_cast<int64_t>(kLane), a.head_dim - static_cast<int64_t>(lane) * kLane)));
  }

  // Where this lane's part of a key or value begins; `token` counts from the split's first.
  __device__ __forceinline__ int64_t LaneAt(int token) const {
    return KvIndex(a.kv_heads, a.head_dim, pages[token / kKvPageTokens], kv_head,
                   token % kKvPageTokens) +
           lane * kLane;
  }

  __device__ void LoadPages(int64_t split) {
    if (threadIdx.x < kSplitPages) {
      const int64_t page = split * kSplitPages + threadIdx.x;
      pages[threadIdx.x] =
          page < a.table.stride ? a.table.pages[sequence * a.table.stride + page] : -1;
    }
  }

  // Scores of tokens [begin, end) of the split; -inf for the others.
  __device__ void Scores(int begin, int end) const {
    float q[kHeads][kLane];
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
#pragma unroll
      for (int i = 0; i < kLane; ++i) {
        const bool live = h < live_heads && i < live_lane;
        q[h][i] = live ? Load(a.q, row, (first_head + h) * a.head_dim + lane * kLane + i) : 0.0f;
      }
    }
    for (int first = warp * kKeys; first < kSplitTokens; first += kAttentionWarps * kKeys) {
      float key[kKeys][kLane];
#pragma unroll
      for (int j = 0; j < kKeys; ++j) {
        const bool visible = first + j >= begin && first + j < end;
        LoadCache<kLane>(a.keys, a.dtype, visible ? LaneAt(first + j) : 0, visible ? live_lane : 0,
                         key[j]);
      }
#pragma unroll
      for (int j = 0; j < kKeys; ++j) {
        float sum[kHeads];
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
          sum[h] = 0.0f;
#pragma unroll
          for (int i = 0; i < kLane; ++i) sum[h] = __fmaf_rn(q[h][i], key[j][i], sum[h]);
        }
        SumHeads<kHeads>(sum, lane);
        const bool visible = first + j >= begin && first + j < end;
        if (lane % (32 / kHeads) == 0) {
          weights[lane * kHeads / 32 * kSplitTokens + first + j] =
              visible ? __fmul_rn(sum[0], a.scale) : -INFINITY;
        }
      }
    }
  }

  // Scores to exp-weights; warp h does head h.
  __device__ void Softmax() const {
    if (warp >= kHeads) return;
    float* w = weights + warp * kSplitTokens;
    constexpr int kEach = static_cast<int>(kSplitTokens / 32);
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
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const float weight = expf(score[i] - largest);
      w[i * 32 + lane] = weight;
      sum = __fadd_rn(sum, weight);
    }
    sum = WarpSum(sum);
    if (lane == 0) state[warp] = {largest, sum};
  }

  __device__ void AddValues(int begin, int end) {
    float sum[kHeads][kLane] = {};
    constexpr int kStep = kAttentionWarps;
    for (int first = warp; first < kSplitTokens; first += kKeys * kStep) {
      float value[kKeys][kLane];
#pragma unroll
      for (int j = 0; j < kKeys; ++j) {
        const int token = first + j * kStep;
        const bool visible = token >= begin && token < end;
        LoadCache<kLane>(a.values, a.dtype, visible ? LaneAt(token) : 0, visible ? live_lane : 0,
                         value[j]);
      }
#pragma unroll
      for (int j = 0; j < kKeys; ++j) {
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
          const float weight = weights[h * kSplitTokens + first + j * kStep];
#pragma unroll
          for (int i = 0; i < kLane; ++i) sum[h][i] = __fmaf_rn(weight, value[j][i], sum[h][i]);
        }
      }
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
#pragma unroll
      for (int i = 0; i < kLane; ++i) {
        partial[warp * kSumCount + h * kPadded + i * 32 + lane] = sum[h][i];
      }
    }
    __syncthreads();
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      const int at = threadIdx.x + o * kAttentionThreads;
      if (at >= kSumCount) break;
      float part[kAttentionWarps];
#pragma unroll
      for (int w = 0; w < kAttentionWarps; ++w) part[w] = partial[w * kSumCount + at];
      sums[o] = __fadd_rn(__fadd_rn(__fadd_rn(part[0], part[1]), __fadd_rn(part[2], part[3])),
                          __fadd_rn(__fadd_rn(part[4], part[5]), __fadd_rn(part[6], part[7])));
    }
  }

  // Head and column of entry `at` of [kHeads][kPadded], where lane l's i-th dimension, kLane l + i,
  // is stored at 32 i + l.
  __device__ static int HeadOf(int at) { return at / kPadded; }
  __device__ static int ColumnOf(int at) { return at % 32 * kLane + at % kPadded / 32; }

  // One split: leaves its state in shared memory and its weighted sums in `sums`.
  __device__ void WalkSplit(int64_t split, Visible visible) {
    const int64_t base = split * kSplitTokens;
    const int begin = static_cast<int>(max(visible.begin - base, static_cast<int64_t>(0)));
    const int end = static_cast<int>(min(visible.end - base, kSplitTokens));
    __syncthreads();
    LoadPages(split);
    __syncthreads();
    Scores(begin, end);
    __syncthreads();
    Softmax();
    __syncthreads();
    AddValues(begin, end);
  }
};

}  // namespace talon::cuda
