// The compute warps of the few-row kernel: weight rings and tensor cores.
#pragma once

#include "talon/backend/cuda/few_rows_block.cuh"

namespace talon::cuda {

// A compute warp: one leaf of the row tiles of its team.
template <class Shape>
struct ComputeWarp {
  using Weights = typename Shape::Weights;
  static constexpr int kRowBlocks = Shape::kRowBlocks;
  static constexpr int kStageChunks = Shape::kStageChunks;
  using Accumulators = float[kRowBlocks][4];

  const Block<Shape>& block;
  const FewRowsParams& p;
  int lane, warp, team, member;
  uint8_t* ring;
  uint32_t barriers;  // one per stage

  // The copies that run ahead of the sums; lane 0's state.
  struct Ahead {
    const uint8_t* source;
    int tile;         // of the next stage to fetch; num_tiles or more: done
    int chunks_left;  // of its leaf
    int slot;
  } ahead = {};

  __device__ explicit ComputeWarp(const Block<Shape>& the_block)
      : block(the_block), p(the_block.p) {
    lane = threadIdx.x & 31;
    warp = threadIdx.x >> 5;
    team = warp / p.group_leaves;
    member = warp % p.group_leaves;
    ring = block.Ring(warp);
    barriers = SharedAddress(block.shared) + warp * kMaxStages * 8;
  }

  __device__ void PointAt(int tile) {
    ahead.tile = tile;
    ahead.chunks_left = p.leaf_chunks;
    if (tile >= p.num_tiles) return;
    const int segment = SegmentOf(p, tile);
    const int leaf =
        (tile - p.first_tiles[segment]) * p.num_leaves + block.group * p.group_leaves + member;
    ahead.source =
        p.weights[segment] + static_cast<int64_t>(leaf) * (p.leaf_chunks * Weights::kChunkBytes);
  }

  __device__ void Fetch() {
    const uint32_t barrier = barriers + ahead.slot * 8;
    const uint32_t to = SharedAddress(ring) + ahead.slot * Shape::kStageBytes;
    const uint32_t bytes = min(ahead.chunks_left, kStageChunks) * Weights::kChunkBytes;
    BarrierExpectBytes(barrier, bytes);
    BulkLoad(to, ahead.source, bytes, barrier);
    ahead.source += Shape::kStageBytes;
    if (++ahead.slot == p.num_stages) ahead.slot = 0;
    ahead.chunks_left -= kStageChunks;
    if (ahead.chunks_left <= 0) PointAt(ahead.tile + block.TileStep());
  }

  __device__ void StartRing() {
    if (lane == 0) {
#pragma unroll 1
      for (int slot = 0; slot < p.num_stages; ++slot) BarrierInit(barriers + slot * 8, 1);
      BarrierInitFence();
      PointAt(block.FirstTile(team));
#pragma unroll 1
      for (int i = 0; i < p.num_stages && ahead.tile < p.num_tiles; ++i) Fetch();
    }
    __syncwarp();
  }

  __device__ __forceinline__ void MultiplyChunk(const uint8_t* chunk, const uint8_t* x,
                                                const int (&x_offset)[kRowBlocks],
                                                Accumulators& sums) const {
    WeightFragment w;
    Weights::Load(chunk, lane, w);
#pragma unroll
    for (int n = 0; n < kRowBlocks; ++n) {
      const uint4 b = *reinterpret_cast<const uint4*>(x + x_offset[n]);
      MmaBf16(sums[n], w.a[0], b.x, b.y);
      MmaBf16(sums[n], w.a[1], b.z, b.w);
    }
  }

  struct Position {
    int slot = 0;
    uint32_t parity = 0;
  };

  __device__ __forceinline__ void MultiplyLeaf(const int (&x_offset)[kRowBlocks], Position& at,
                                               Accumulators& sums) {
    const int x_chunk = p.rows * 64;
    const uint8_t* x = block.Activations() + member * p.leaf_chunks * x_chunk;
    int left = p.leaf_chunks;
    while (left > 0) {
      BarrierWait(barriers + at.slot * 8, at.parity);
      const uint8_t* chunk = ring + at.slot * Shape::kStageBytes;
      int count = min(left, kStageChunks);
      left -= count;
      constexpr int kUnroll = kStageChunks < 4 ? kStageChunks : 4;
#pragma unroll 1
      for (; count >= kUnroll; count -= kUnroll) {
#pragma unroll
        for (int c = 0; c < kUnroll; ++c) {
          MultiplyChunk(chunk + c * Weights::kChunkBytes, x + c * x_chunk, x_offset, sums);
        }
        chunk += kUnroll * Weights::kChunkBytes;
        x += kUnroll * x_chunk;
      }
#pragma unroll 1
      for (; count > 0; --count) {
        MultiplyChunk(chunk, x, x_offset, sums);
        chunk += Weights::kChunkBytes;
        x += x_chunk;
      }
      __syncwarp();
      if (lane == 0 && ahead.tile < p.num_tiles) Fetch();
      if (++at.slot == p.num_stages) {
        at.slot = 0;
        at.parity ^= 1;
      }
    }
  }

  __device__ void HandOver(const Accumulators& sums, uint32_t parity) const {
    BarrierWait(block.Empty(team), parity ^ 1);
    float2* to = block.Sums(warp);
#pragma unroll
    for (int n = 0; n < kRowBlocks; ++n) {
      to[n * kBlockItems + lane] = make_float2(sums[n][0], sums[n][1]);
      to[n * kBlockItems + 32 + lane] = make_float2(sums[n][2], sums[n][3]);
    }
    BarrierArrive(block.Full(team));
  }

  __device__ void Run() {
    if (team >= block.Teams()) return;
    int x_offset[kRowBlocks];
#pragma unroll
    for (int n = 0; n < kRowBlocks; ++n) {
      x_offset[n] = min(n * 8 + (lane >> 2), p.rows - 1) * 64 + (lane & 3) * 16;
    }
    Position at;
    uint32_t parity = 0;
    for (int tile = block.FirstTile(team); tile < p.num_tiles; tile += block.TileStep()) {
      Accumulators sums = {};
      MultiplyLeaf(x_offset, at, sums);
      HandOver(sums, parity);
      parity ^= 1;
    }
  }
};

}  // namespace talon::cuda
