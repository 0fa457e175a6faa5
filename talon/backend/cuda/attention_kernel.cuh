// Paged attention for one row, one KV head and up to eight of its query heads per block, FP32
// throughout. Keys are walked in tiles at absolute positions, ascending; tiles make splits of
// kSplitTokens, also at absolute positions, and split results are merged left to right, either by
// the block that walks them all or by a second kernel: the same operations, the same bits.
#pragma once

#include "talon/backend/cuda/attention.h"
#include "talon/backend/cuda/element.cuh"

namespace talon::cuda {

inline constexpr int kAttentionThreads = 128;
inline constexpr int kTileBytes = 32 * 1024;
inline constexpr int kMaxTileTokens = 128;

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
  int tile_tokens;     // a multiple of 16 that divides kSplitTokens; by shape alone
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

template <int kHeads, int kColumns>
struct AttentionBlock {
  static constexpr int kHeadCount = kHeads;
  static constexpr int kColumnCount = kColumns;

  const AttentionView& a;
  float* q;             // shared [kHeads][head_dim]
  float* weights;       // shared [kHeads][kMaxTileTokens]: scores, then exp-weights
  SoftmaxState* state;  // shared [kHeads]
  float* rescale;       // shared [kHeads]
  uint8_t* tile;        // shared [tile_tokens][head_dim + 16 bytes]
  int64_t row, sequence, kv_head, first_head;
  int live_heads;
  float sums[kColumns][kHeads];

  // Bytes before the tile, a multiple of 16.
  __host__ __device__ static int64_t TileOffset(int64_t head_dim) {
    return kHeads * (head_dim + kMaxTileTokens) * 4 + (12 * kHeads + 15) / 16 * 16;
  }

  __device__ AttentionBlock(const AttentionView& view, uint8_t* shared) : a(view) {
    q = reinterpret_cast<float*>(shared);
    weights = q + kHeads * a.head_dim;
    state = reinterpret_cast<SoftmaxState*>(weights + kHeads * kMaxTileTokens);
    rescale = reinterpret_cast<float*>(state + kHeads);
    tile = shared + TileOffset(a.head_dim);
    row = blockIdx.x;
    sequence = SequenceOf(a.rows, row);
    const int64_t group = a.heads / a.kv_heads;
    const int64_t chunks = (group + kHeads - 1) / kHeads;
    kv_head = blockIdx.y / chunks;
    const int64_t in_group = blockIdx.y % chunks * kHeads;
    first_head = kv_head * group + in_group;
    live_heads = static_cast<int>(min(static_cast<int64_t>(kHeads), group - in_group));
    for (int64_t i = threadIdx.x; i < live_heads * a.head_dim; i += kAttentionThreads) {
      q[i] = Load(a.q, row, first_head * a.head_dim + i);
    }
  }

  __device__ int64_t TokenAt(int64_t position) const {
    return KvIndex(a.kv_heads, a.head_dim, PageOf(a.table, sequence, position), kv_head,
                   position % kKvPageTokens);
  }
  __device__ int64_t RowBytes() const { return a.head_dim * SizeOf(a.dtype) + 16; }

  // Keys [begin, end) of the tile at `base` to shared memory.
  __device__ void LoadKeys(int64_t base, int64_t begin, int64_t end) const {
    const int64_t pieces = a.head_dim * SizeOf(a.dtype) / 16;
    for (int64_t i = threadIdx.x; i < (end - begin) * pieces; i += kAttentionThreads) {
      const int64_t position = begin + i / pieces;
      const int64_t piece = i % pieces;
      const uint8_t* from =
          static_cast<const uint8_t*>(a.keys) + TokenAt(position) * SizeOf(a.dtype);
      *reinterpret_cast<uint4*>(tile + (position - base) * RowBytes() + piece * 16) =
          reinterpret_cast<const uint4*>(from)[piece];
    }
  }

  __device__ float Score(const uint8_t* key, const float* query) const {
    float sum = 0.0f;
    for (int64_t i = 0; i < a.head_dim; ++i) {
      sum = __fmaf_rn(query[i], LoadElement(key, a.dtype, i), sum);
    }
    return __fmul_rn(sum, a.scale);
  }

  __device__ void Scores(int64_t base, int64_t begin, int64_t end) const {
    const int pairs = a.tile_tokens * live_heads;
    for (int pair = threadIdx.x; pair < pairs; pair += kAttentionThreads) {
      const int t = pair % a.tile_tokens;
      const int head = pair / a.tile_tokens;
      const bool visible = base + t >= begin && base + t < end;
      weights[head * kMaxTileTokens + t] =
          visible ? Score(tile + t * RowBytes(), q + head * a.head_dim) : -INFINITY;
    }
  }

  // Scores to exp-weights; one warp per head.
  __device__ void Softmax(bool first) const {
    const int lane = threadIdx.x % 32;
    for (int head = threadIdx.x / 32; head < live_heads; head += kAttentionThreads / 32) {
      float* w = weights + head * kMaxTileTokens;
      float largest = -INFINITY;
      for (int t = lane; t < a.tile_tokens; t += 32) largest = fmaxf(largest, w[t]);
      for (int step = 16; step > 0; step /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(0xFFFFFFFFu, largest, step));
      }
      const SoftmaxState old = first ? SoftmaxState{-INFINITY, 0.0f} : state[head];
      const float m = fmaxf(old.m, largest);
      const float factor = first ? 0.0f : expf(old.m - m);
      float sum = 0.0f;
      for (int t = lane; t < a.tile_tokens; t += 32) {
        w[t] = expf(w[t] - m);
        sum = __fadd_rn(sum, w[t]);
      }
      for (int step = 16; step > 0; step /= 2) {
        sum = __fadd_rn(sum, __shfl_xor_sync(0xFFFFFFFFu, sum, step));
      }
      __syncwarp();
      if (lane == 0) {
        state[head] = {m, __fadd_rn(__fmul_rn(old.l, factor), sum)};
        rescale[head] = factor;
      }
    }
  }

  __device__ void AddValues(int64_t base, int64_t begin, int64_t end) {
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
#pragma unroll
      for (int h = 0; h < kHeads; ++h) sums[j][h] = __fmul_rn(sums[j][h], rescale[h]);
    }
    for (int64_t position = begin; position < end; ++position) {
      const int64_t at = TokenAt(position);
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        const int64_t column = threadIdx.x + j * kAttentionThreads;
        if (column >= a.head_dim) break;
        const float value = LoadElement(a.values, a.dtype, at + column);
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
          sums[j][h] =
              __fmaf_rn(weights[h * kMaxTileTokens + (position - base)], value, sums[j][h]);
        }
      }
    }
  }

  // One split: leaves its state in shared memory and its weighted sums in `sums`.
  __device__ void WalkSplit(int64_t split, Visible visible) {
    const int64_t begin = max(visible.begin, split * kSplitTokens);
    const int64_t end = min(visible.end, (split + 1) * kSplitTokens);
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
#pragma unroll
      for (int h = 0; h < kHeads; ++h) sums[j][h] = 0.0f;
    }
    bool first = true;
    for (int64_t base = begin / a.tile_tokens * a.tile_tokens; base < end; base += a.tile_tokens) {
      const int64_t tile_begin = max(begin, base);
      const int64_t tile_end = min(end, base + a.tile_tokens);
      __syncthreads();
      LoadKeys(base, tile_begin, tile_end);
      __syncthreads();
      Scores(base, tile_begin, tile_end);
      __syncthreads();
      Softmax(first);
      __syncthreads();
      AddValues(base, tile_begin, tile_end);
      first = false;
    }
  }
};

}  // namespace talon::cuda
