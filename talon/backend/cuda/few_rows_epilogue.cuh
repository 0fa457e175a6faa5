// The epilogue warps of the few-row kernel: trees over leaves and groups, scales, rounding, stores.
#pragma once

#include "talon/backend/cuda/few_rows_block.cuh"

namespace talon::cuda {

// An epilogue warp: leaf trees, group trees and stores of every kEpilogueWarps-th team.
template <class Shape>
struct EpilogueWarp {
  static constexpr int kRounds = Shape::kSumItems / 32;
  static constexpr int kArrivalBatch = 6;  // tiles that share a fence

  const Block<Shape>& block;
  const FewRowsParams& p;
  int lane, index;
  int pending_tile = 0;  // lane i: the i-th tile whose group sums are written but not announced
  int num_pending = 0;

  __device__ explicit EpilogueWarp(const Block<Shape>& the_block)
      : block(the_block), p(the_block.p) {
    lane = threadIdx.x & 31;
    index = (threadIdx.x >> 5) - Shape::kComputeWarps;
  }

  // Where a tile's outputs go, as one lane sees it: outputs lane / 4 and lane / 4 + 8, rows
  // 2 (lane % 4) + {0, 1} of each block of 8.
  struct TileOutput {
    uint8_t* data;  // of the lane's first output and first row
    int64_t row_bytes;
    float scale[2];
    bool live[2];
    bool is_f32;
  };

  __device__ TileOutput OutputOf(int tile) const {
    const int segment = SegmentOf(p, tile);
    const SegmentOutput& to = p.outputs[segment];
    const int64_t out = (tile - p.first_tiles[segment]) * kTileRows + lane / 4;
    const int element_bytes = to.out_is_f32 ? 4 : 2;
    TileOutput result;
    result.is_f32 = to.out_is_f32;
    result.row_bytes = to.out_stride * element_bytes;
    result.data =
        static_cast<uint8_t*>(to.out) + lane % 4 * 2 * result.row_bytes + out * element_bytes;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = out + half * 8;
      result.live[half] = at < to.out_features;
      result.scale[half] = to.sum_scale;
      if (to.row_scales != nullptr && result.live[half]) result.scale[half] = to.row_scales[at];
    }
    return result;
  }

  // Round 2 n + half: the lane's two rows of row block n at output lane / 4 + 8 half.
  __device__ __forceinline__ void Store(const TileOutput& to, int round, float2 sum) const {
    const int half = round % 2;
    if (!to.live[half]) return;
    const int row = round / 2 * 8 + lane % 4 * 2;
    uint8_t* at = to.data + round / 2 * 8 * to.row_bytes + half * 8 * (to.is_f32 ? 4 : 2);
    const float values[2] = {__fmul_rn(sum.x, to.scale[half]), __fmul_rn(sum.y, to.scale[half])};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (row + i >= p.rows) return;
      if (to.is_f32) {
        *reinterpret_cast<float*>(at + i * to.row_bytes) = values[i];
      } else {
        *reinterpret_cast<__nv_bfloat16*>(at + i * to.row_bytes) = __float2bfloat16_rn(values[i]);
      }
    }
  }

  __device__ float2* GroupSums(int tile, int of_group) const {
    return reinterpret_cast<float2*>(p.group_sums) +
           (static_cast<int64_t>(tile) * p.num_groups + of_group) * Shape::kSumItems;
  }

  __device__ void AddGroups(int tile) const {
    constexpr int kBatch = kRounds < 4 ? kRounds : 4;  // keeps many loads in flight
    const TileOutput to = OutputOf(tile);
#pragma unroll
    for (int first = 0; first < kRounds; first += kBatch) {
      float2 total[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int item = (first + i) * 32 + lane;
        total[i] = TreeSum(p.num_groups, [&](int g) { return __ldcg(GroupSums(tile, g) + item); });
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) Store(to, first + i, total[i]);
    }
  }

  // Announces this group's sums of the pending tiles; where all groups have arrived, adds them.
  __device__ void AnnouncePending() {
    __threadfence();
    __syncwarp();
    const bool mine = lane < num_pending;
    uint32_t arrived = 0;
    if (mine) arrived = atomicAdd(p.arrivals + pending_tile, 1u) + 1;
    const bool last = mine && arrived == static_cast<uint32_t>(p.num_groups);
    if (last) p.arrivals[pending_tile] = 0;
    __threadfence();
    uint32_t complete = __ballot_sync(0xFFFFFFFFu, last);
    for (; complete != 0; complete &= complete - 1) {
      AddGroups(__shfl_sync(0xFFFFFFFFu, pending_tile, __ffs(complete) - 1));
    }
    num_pending = 0;
  }

  __device__ void FinishTile(int team, int tile, uint32_t parity) {
    BarrierWait(block.Full(team), parity);
    const float2* sums = block.Sums(team * p.group_leaves) + lane;
    float2 total[kRounds];
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      total[i] =
          TreeSum(p.group_leaves, [&](int leaf) { return sums[leaf * Shape::kSumItems + i * 32]; });
    }
    BarrierArrive(block.Empty(team));
    if (p.num_groups == 1) {
      const TileOutput to = OutputOf(tile);
#pragma unroll
      for (int i = 0; i < kRounds; ++i) Store(to, i, total[i]);
      return;
    }
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      __stcg(GroupSums(tile, block.group) + i * 32 + lane, total[i]);
    }
    if (lane == num_pending) pending_tile = tile;
    if (++num_pending == kArrivalBatch) AnnouncePending();
  }

  __device__ void Run() {
    uint32_t parity = 0;
    for (int first = 0; block.FirstTile(index) + first < p.num_tiles; first += block.TileStep()) {
      for (int team = index; team < block.Teams(); team += Shape::kEpilogueWarps) {
        const int tile = block.FirstTile(team) + first;
        if (tile < p.num_tiles) FinishTile(team, tile, parity);
      }
      parity ^= 1;
    }
    if (num_pending > 0) AnnouncePending();
  }
};

}  // namespace talon::cuda
