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
  uint32_t ring;      // shared addresses
  uint32_t barriers;  // one per stage
  uint32_t x;         // of the leaf, this lane's first word of row 0

  // The copies that run ahead of the sums; lane 0's state.
  struct Ahead {
    const uint8_t* source;
    int tile;         // of the next stage to fetch; num_tiles or more: done
    int segment_end;  // tiles of the segments up to its own
    int chunks_left;  // of its leaf
    int slot;
  } ahead = {};
  int64_t tile_jump;  // bytes from the end of a leaf to the next one of this warp

  __device__ explicit ComputeWarp(const Block<Shape>& the_block)
      : block(the_block), p(the_block.p) {
    lane = threadIdx.x & 31;
    warp = threadIdx.x >> 5;
    team = warp / p.group_leaves;
    member = warp % p.group_leaves;
    const uint32_t shared = SharedAddress(block.shared);
    ring = shared + Shape::kRingOffset + warp * p.num_stages * p.stage_bytes;
    barriers = shared + warp * kMaxStages * 8;
    x = shared + Shape::kRingOffset + Shape::kComputeWarps * p.num_stages * p.stage_bytes +
        member * p.leaf_chunks * p.rows * 64 + (lane & 3) * 16;
    KeepInRegister(ring);
    KeepInRegister(barriers);
    KeepInRegister(x);
    const int leaf_bytes = p.leaf_chunks * Weights::kChunkBytes;
    tile_jump = static_cast<int64_t>(block.TileStep()) * p.num_leaves * leaf_bytes - leaf_bytes;
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
    ahead.segment_end = segment + 1 < p.num_segments ? p.first_tiles[segment + 1] : p.num_tiles;
  }

  __device__ __forceinline__ void Fetch() {
    const uint32_t barrier = barriers + ahead.slot * 8;
    const uint32_t bytes = min(ahead.chunks_left * Weights::kChunkBytes, p.stage_bytes);
    BarrierExpectBytes(barrier, bytes);
    BulkLoad(ring + ahead.slot * p.stage_bytes, ahead.source, bytes, barrier);
    ahead.source += bytes;
    if (++ahead.slot == p.num_stages) ahead.slot = 0;
    ahead.chunks_left -= p.stage_chunks;
    if (ahead.chunks_left > 0) return;
    const int next = ahead.tile + block.TileStep();
    if (next >= ahead.segment_end) {
      PointAt(next);
    } else {
      ahead.tile = next;
      ahead.source += tile_jump;
      ahead.chunks_left = p.leaf_chunks;
    }
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

  // kChunks chunks of a stage, unrolled; `x_at` moves on.
  template <int kChunks>
  __device__ __forceinline__ void MultiplyChunks(uint32_t chunk, uint32_t& x_at,
                                                 const uint32_t (&x_offset)[kRowBlocks],
                                                 Accumulators& sums) const {
    const uint32_t x_chunk = p.rows * 64;
#pragma unroll
    for (int c = 0; c < kChunks; ++c) {
      WeightFragment w;
      Weights::Load(chunk + c * Weights::kChunkBytes, lane, w);
      // A product waits for the one before it on the same sums: the row blocks take turns.
      uint4 b[kRowBlocks];
#pragma unroll
      for (int n = 0; n < kRowBlocks; ++n) b[n] = LoadShared4(x_at + x_offset[n]);
#pragma unroll
      for (int n = 0; n < kRowBlocks; ++n) MmaBf16(sums[n], w.a[0], b[n].x, b[n].y);
#pragma unroll
      for (int n = 0; n < kRowBlocks; ++n) MmaBf16(sums[n], w.a[1], b[n].z, b[n].w);
      x_at += x_chunk;
    }
  }

  struct Position {
    int slot = 0;
    uint32_t parity = 0;
  };

  __device__ __forceinline__ void MultiplyLeaf(const uint32_t (&x_offset)[kRowBlocks], Position& at,
                                               Accumulators& sums) {
    uint32_t x_at = x;
#pragma unroll 1
    for (int left = p.leaf_chunks; left > 0; left -= p.stage_chunks) {
      BarrierWait(barriers + at.slot * 8, at.parity);
      uint32_t chunk = ring + at.slot * p.stage_bytes;
      const int count = min(left, p.stage_chunks);
      if (count == kStageChunks) {
        MultiplyChunks<kStageChunks>(chunk, x_at, x_offset, sums);
      } else if (count == kStageChunks - 1) {
        MultiplyChunks<kStageChunks - 1>(chunk, x_at, x_offset, sums);
      } else {
#pragma unroll 1
        for (int c = 0; c < count; ++c, chunk += Weights::kChunkBytes) {
          MultiplyChunks<1>(chunk, x_at, x_offset, sums);
        }
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
    uint32_t x_offset[kRowBlocks];
#pragma unroll
    for (int n = 0; n < kRowBlocks; ++n) x_offset[n] = min(n * 8 + (lane >> 2), p.rows - 1) * 64;
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
