// Tiles by FP32 arithmetic, for every cache type and head size: a warp takes a key at a time, its
// lanes kLane dimensions each, products in ascending order, then a butterfly over lanes (halving
// the queries as it goes). For the weighted sum warp w takes positions w, w + 8, ... of the tile in
// ascending order; the eight sums are added by the balanced tree.
#pragma once

#include "talon/backend/cuda/attention_block.cuh"
#include "talon/backend/cuda/attention_cache.cuh"
#include "talon/backend/cuda/ptx.cuh"

namespace talon::cuda {

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
struct LanesShape : AttentionSizes<kQueriesOf, 32 * kLaneOf, 32 * kLaneOf, kAttentionWarps> {
  using Cache = CacheOf;
  static constexpr int kLane = kLaneOf;  // dimensions of a lane
  static constexpr int kBlocks = 1;      // of a multiprocessor, at least
  // Tokens whose loads a warp has in flight.
  static constexpr int kTokens = kLane * Cache::kElementBytes >= 32 ? 4 : 8;
  // Lane l's i-th dimension, kLane l + i, is stored at 32 i + l.
  __device__ static int Dimension(int column) { return column % 32 * kLane + column / 32; }
};

template <class Shape>
struct LanesWalk : AttentionBlock<Shape> {
  using Base = AttentionBlock<Shape>;
  using Base::a, Base::lane, Base::warp, Base::weights;
  using Cache = typename Shape::Cache;
  static constexpr int kLane = Shape::kLane;
  static constexpr int kQueries = Shape::kQueries;
  static constexpr int kTokens = Shape::kTokens;
  using Raw = RawElements<kLane, Cache::kElementBytes>;

  bool live_lane;

  __device__ LanesWalk(const AttentionView& view, uint8_t* shared) : Base(view, shared) {
    live_lane = lane * kLane < a.head_dim;
  }

  __device__ __forceinline__ void LoadToken(const void* cache, int token, TileTokens tokens,
                                            Raw& raw) const {
    raw.Clear();
    if (!tokens.Has(token) || !live_lane) return;
    const int64_t index = Base::TokenAt(token) + lane * kLane;
    raw.LoadFrom(static_cast<const uint8_t*>(cache) + index * Cache::kElementBytes);
  }

  __device__ void LoadQueries(float (&q)[kQueries][kLane]) const {
#pragma unroll
    for (int n = 0; n < kQueries; ++n) {
      const int column = (Base::first_head + Base::HeadOf(n)) * a.head_dim + lane * kLane;
      const int64_t at = (Base::first_row + Base::RowOf(n)) * a.q.row_stride + column;
      const bool live = Base::IsLive(n) && live_lane;
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

  // Scores of the tile; -inf where a query does not see the key.
  __device__ void Scores(TileTokens tokens) const {
    float q[kQueries][kLane];
    LoadQueries(q);
    for (int first = warp * kTokens; first < kTile; first += kAttentionWarps * kTokens) {
      Raw key[kTokens];
#pragma unroll
      for (int j = 0; j < kTokens; ++j) LoadToken(a.keys, first + j, tokens, key[j]);
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
        if (lane % (32 / kQueries) == 0) {
          Base::StoreScore(lane * kQueries / 32, first + j, sum[0]);
        }
      }
    }
  }

  __device__ void AddTokens(const Raw (&value)[kTokens], int first,
                            float (&sum)[kQueries][kLane]) const {
#pragma unroll
    for (int j = 0; j < kTokens; ++j) {
#pragma unroll
      for (int n = 0; n < kQueries; ++n) {
        const float weight = weights[n * kWeightStride + first + j * kAttentionWarps];
#pragma unroll
        for (int i = 0; i < kLane; ++i) {
          sum[n][i] = __fmaf_rn(weight, Cache::template Value<kLane>(value[j], i), sum[n][i]);
        }
      }
    }
  }

  // One tile: calls on_states() when the queries' states are in shared memory, then on_sum (see
  // AddParts).
  template <class OnStates, class OnSum>
  __device__ __forceinline__ void WalkTile(int tile, OnStates on_states, OnSum on_sum) {
    const TileTokens tokens = Base::OpenTile(tile);
    WaitForPreviousKernel();
    Scores(tokens);
    constexpr int kStep = kAttentionWarps * kTokens;
    Raw value[kTokens];
#pragma unroll
    for (int j = 0; j < kTokens; ++j) {
      LoadToken(a.values, warp + j * kAttentionWarps, tokens, value[j]);
    }
    __syncthreads();
    Base::Softmax();
    __syncthreads();
    on_states();
    float sum[kQueries][kLane] = {};
    AddTokens(value, warp, sum);
    for (int first = warp + kStep; first < kTile; first += kStep) {
#pragma unroll
      for (int j = 0; j < kTokens; ++j) {
        LoadToken(a.values, first + j * kAttentionWarps, tokens, value[j]);
      }
      AddTokens(value, first, sum);
    }
#pragma unroll
    for (int n = 0; n < kQueries; ++n) {
#pragma unroll
      for (int i = 0; i < kLane; ++i) {
        Base::partial[warp * Shape::kPartCount + n * Shape::kColumnStride + i * 32 + lane] =
            sum[n][i];
      }
    }
    Base::AddParts(on_sum);
  }
};

}  // namespace talon::cuda
