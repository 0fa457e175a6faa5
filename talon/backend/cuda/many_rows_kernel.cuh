// The many-row kernel. A block takes units of 64 outputs per warpgroup x 64 or 128 rows of x and
// walks all of K. One warp copies x in swizzled boxes of 64 columns. Each warp of a warpgroup
// streams its row tile's chunks through a ring of its own and decodes them in registers, and the
// warpgroup multiplies k16 after k16 into one accumulator per leaf. Finished leaves enter the
// balanced tree as a binary counter carries. Units of the same outputs lie side by side, so that
// their weights come from memory once.
#pragma once

#include <algorithm>

#include "talon/backend/cuda/few_rows_params.h"
#include "talon/backend/cuda/launch.cuh"
#include "talon/backend/cuda/weight_format.cuh"
#include "talon/backend/cuda/wgmma.cuh"

namespace talon::cuda {

inline constexpr int kBoxChunks = 2;  // of K: 64 columns
inline constexpr int kBoxK = kBoxChunks * kChunkK;
inline constexpr int kGroupTiles = 4;  // row tiles of a warpgroup

struct ManyRowsParams {
  CUtensorMap x;  // BF16 [rows, in], boxes of a unit's rows x kBoxK
  FewRowsParams linear;
  int row_blocks;                  // units of the same outputs
  int num_units;                   // of all segments
  int first_blocks[kMaxSegments];  // of each segment, in blocks of outputs
  int stored_levels;               // of the tree, in shared memory
};

template <class Format, int kWarpgroupsOf, int kUnitRowsOf>
struct ManyRowsShape {
  using Weights = Format;
  static constexpr int kUnitRows = kUnitRowsOf;  // rows of x
  static constexpr int kSums = kUnitRows / 2;    // of a thread
  static constexpr int kWarpgroups = kWarpgroupsOf;
  static constexpr int kTiles = kGroupTiles * kWarpgroups;  // of a unit
  static constexpr int kComputeWarps = 4 * kWarpgroups;
  static constexpr int kThreads = 32 * (kComputeWarps + 1);
  static constexpr int kSlotBytes = kBoxChunks * Weights::kChunkBytes;  // of a warp's ring
  static constexpr int kLevelBytes = kComputeWarps * 32 * kSums * 4;

  // Shared memory: boxes of x, stored levels of the tree, rings, barriers.
  static constexpr int kBoxBytes = kUnitRows * kBoxK * 2;
  static constexpr int kBoxes = kSlotBytes > 1024 && kUnitRows == 128 ? 3 : 4;
  static constexpr int kInputBytes = kBoxes * kBoxBytes;
  static constexpr int kRoom = 226 * 1024 - kInputBytes - 2 * kLevelBytes;
  static constexpr int kRingSlots = std::min(8, kRoom / (kComputeWarps * kSlotBytes));
  static_assert(kRingSlots >= 3, "a ring keeps copies under way while one slot is read");
  static constexpr int Bytes(int levels) {
    return kInputBytes + levels * kLevelBytes + kComputeWarps * kRingSlots * kSlotBytes +
           kBoxes * 16;
  }
};

// A block's place in the work.
template <class Shape>
struct ManyRowsBlock {
  const ManyRowsParams& p;
  uint8_t* shared;

  // The outputs and rows of unit `index`.
  struct Unit {
    int segment;
    int first_tile;  // in the segment
    int num_tiles;   // live ones
    int first_row;
  };
  __device__ Unit UnitAt(int index) const {
    Unit unit;
    const int block = index / p.row_blocks;
    unit.first_row = index % p.row_blocks * Shape::kUnitRows;
    unit.segment = 0;
#pragma unroll
    for (int i = 1; i < kMaxSegments; ++i) {
      if (i < p.linear.num_segments && block >= p.first_blocks[i]) unit.segment = i;
    }
    unit.first_tile = (block - p.first_blocks[unit.segment]) * Shape::kTiles;
    const int tiles = (p.linear.outputs[unit.segment].out_features + kTileRows - 1) / kTileRows;
    unit.num_tiles = min(Shape::kTiles, tiles - unit.first_tile);
    return unit;
  }
  __device__ int NumChunks() const { return p.linear.num_leaves * p.linear.leaf_chunks; }
  __device__ float4* Level(int level) const {
    return reinterpret_cast<float4*>(shared + Shape::kInputBytes + level * Shape::kLevelBytes);
  }
  // Shared addresses.
  __device__ uint32_t Box(int slot) const {
    return SharedAddress(shared) + slot * Shape::kBoxBytes;
  }
  __device__ uint32_t Ring(int warp) const {
    return SharedAddress(shared) + Shape::kInputBytes + p.stored_levels * Shape::kLevelBytes +
           warp * (Shape::kRingSlots * Shape::kSlotBytes);
  }
  __device__ uint32_t Full(int slot) const { return Ring(Shape::kComputeWarps) + slot * 16; }
  __device__ uint32_t Empty(int slot) const { return Full(slot) + 8; }
};

// Where the walk over the boxes of x stands.
template <class Shape>
struct BoxPosition {
  int slot = 0;
  uint32_t parity = 0;
  __device__ void Next() {
    if (++slot == Shape::kBoxes) {
      slot = 0;
      parity ^= 1;
    }
  }
};

// The warp that copies x, by one lane.
template <class Shape>
__device__ __forceinline__ void CopyInput(const ManyRowsBlock<Shape>& block) {
  WaitForPreviousKernel();
  BoxPosition<Shape> at;
  const int columns = block.NumChunks() * kChunkK;
  for (int index = blockIdx.x; index < block.p.num_units; index += gridDim.x) {
    const int row = block.UnitAt(index).first_row;
    for (int column = 0; column < columns; column += kBoxK) {
      BarrierWait(block.Empty(at.slot), at.parity ^ 1);
      BarrierExpectBytes(block.Full(at.slot), Shape::kBoxBytes);
      TensorLoad(block.Box(at.slot), &block.p.x, column, row, block.Full(at.slot));
      at.Next();
    }
  }
}

// The weights of a warp's row tiles, unit after unit, copied ahead of their use.
template <class Shape>
struct WeightStream {
  static constexpr int kSlots = Shape::kRingSlots;
  const ManyRowsBlock<Shape>& block;
  int lane, warp;
  uint32_t ring;          // shared address
  int slot = 0;           // the one to read next
  int ahead_slot = 0;     // the one to fill next
  int ahead_unit;         // of it
  int bytes_left = 0;     // of its row tile
  const uint8_t* source;  // of it

  __device__ WeightStream(const ManyRowsBlock<Shape>& the_block, int the_warp, int the_lane)
      : block(the_block), lane(the_lane), warp(the_warp) {
    ring = block.Ring(warp);
    ahead_unit = blockIdx.x;
    PointAt();
#pragma unroll 1
    for (int i = 0; i < kSlots - 1; ++i) CopyNext();
  }

  __device__ void PointAt() {
    bytes_left = block.NumChunks() * Shape::Weights::kChunkBytes;
    source = nullptr;
    if (ahead_unit >= block.p.num_units) return;
    const auto unit = block.UnitAt(ahead_unit);
    if (warp >= unit.num_tiles) return;
    source = block.p.linear.weights[unit.segment] +
             static_cast<int64_t>(unit.first_tile + warp) * bytes_left;
  }

  __device__ __forceinline__ void CopyNext() {
    if (source != nullptr) {
      const int bytes = min(bytes_left, Shape::kSlotBytes);
#pragma unroll
      for (int at = 0; at < Shape::kSlotBytes; at += 32 * 16) {
        const int piece = at + lane * 16;
        if (piece < bytes) CopyAsync(ring + ahead_slot * Shape::kSlotBytes + piece, source + piece);
      }
      source += Shape::kSlotBytes;
    }
    CopyAsyncCommit();
    if (++ahead_slot == kSlots) ahead_slot = 0;
    bytes_left -= Shape::kSlotBytes;
    if (bytes_left <= 0) {
      ahead_unit += gridDim.x;
      PointAt();
    }
  }

  // The shared address of the next two chunks.
  __device__ __forceinline__ uint32_t Next() {
    CopyAsyncWait<kSlots - 2>();
    __syncwarp();  // all lanes' pieces are there, and the slot before this one has been read
    CopyNext();
    const uint32_t chunks = ring + slot * Shape::kSlotBytes;
    if (++slot == kSlots) slot = 0;
    return chunks;
  }
};

// A compute warp: one row tile of each unit.
template <class Shape>
struct MultiplyWarp {
  using Weights = typename Shape::Weights;
  const ManyRowsBlock<Shape>& block;
  int lane, warp;
  WeightStream<Shape> stream;
  static constexpr int kSums = Shape::kSums;
  float sums[kSums];   // of the leaf
  float first[kSums];  // the tree's lowest level: a single leaf

  __device__ explicit MultiplyWarp(const ManyRowsBlock<Shape>& the_block)
      : block(the_block),
        lane(threadIdx.x % 32),
        warp(threadIdx.x / 32),
        stream(the_block, threadIdx.x / 32, threadIdx.x % 32) {}

  __device__ void Clear() {
#pragma unroll
    for (int i = 0; i < kSums; ++i) sums[i] = 0.0f;
  }

  __device__ float4& Stored(int level, int i) const {
    return block.Level(level)[i * Shape::kComputeWarps * 32 + threadIdx.x];
  }

  // The leaf's sums enter the tree; after the last leaf `sums` is the total.
  __device__ void FinishLeaf(int leaf) {
    const bool last = leaf + 1 == block.p.linear.num_leaves;
    if (leaf % 2 == 0) {
      if (last) return;
#pragma unroll
      for (int i = 0; i < kSums; ++i) first[i] = sums[i];
      Clear();
      return;
    }
#pragma unroll
    for (int i = 0; i < kSums; ++i) sums[i] = __fadd_rn(first[i], sums[i]);
    int level = 0;
    for (; (leaf >> (level + 1)) % 2 == 1; ++level) {
#pragma unroll
      for (int i = 0; i < kSums / 4; ++i) {
        const float4 stored = Stored(level, i);
        sums[4 * i] = __fadd_rn(stored.x, sums[4 * i]);
        sums[4 * i + 1] = __fadd_rn(stored.y, sums[4 * i + 1]);
        sums[4 * i + 2] = __fadd_rn(stored.z, sums[4 * i + 2]);
        sums[4 * i + 3] = __fadd_rn(stored.w, sums[4 * i + 3]);
      }
    }
    if (last) return;
#pragma unroll
    for (int i = 0; i < kSums / 4; ++i) {
      Stored(level, i) =
          make_float4(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]);
    }
    Clear();
  }

  __device__ __forceinline__ void Multiply(const WeightFragment& w, uint64_t x) {
    WgmmaFence();
    WgmmaBf16(sums, w.a[0], x);
    WgmmaBf16(sums, w.a[1], x + 2);  // 32 bytes further on
    WgmmaCommit();
  }

  // All of K for one unit. A chunk's products run while the next one is decoded.
  __device__ void MultiplyUnit(BoxPosition<Shape>& at) {
    Clear();
    const int num_chunks = block.NumChunks();
    int leaf = 0;
    int left = block.p.linear.leaf_chunks;  // of the leaf
#pragma unroll 1
    for (int chunk = 0; chunk < num_chunks; chunk += kBoxChunks) {
      BarrierWait(block.Full(at.slot), at.parity);
      const uint64_t x = SwizzledOperand(block.Box(at.slot));
      const uint32_t chunks = stream.Next();
      WeightFragment w[kBoxChunks];
#pragma unroll
      for (int c = 0; c < kBoxChunks; ++c) {
        if (chunk + c >= num_chunks) break;
        Weights::Load(chunks + c * Weights::kChunkBytes, lane, w[c]);
        Multiply(w[c], x + c * 4);  // 64 bytes further on
        if (--left == 0) {
          WgmmaWait<0>();
          FinishLeaf(leaf++);
          left = block.p.linear.leaf_chunks;
        }
      }
      WgmmaWait<0>();
      if (lane == 0) BarrierArrive(block.Empty(at.slot));
      at.Next();
    }
  }

  __device__ void Store(const typename ManyRowsBlock<Shape>::Unit& unit) const {
    if (warp >= unit.num_tiles) return;
    const FewRowsParams& p = block.p.linear;
    const SegmentOutput& to = p.outputs[unit.segment];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int out = (unit.first_tile + warp) * kTileRows + lane / 4 + 8 * half;
      if (out >= to.out_features) continue;
      const float scale = to.row_scales != nullptr ? to.row_scales[out] : to.sum_scale;
#pragma unroll
      for (int i = 0; i < kSums / 2; ++i) {
        const int row = unit.first_row + i / 2 * 8 + lane % 4 * 2 + i % 2;
        if (row >= p.rows) continue;
        const float value = __fmul_rn(sums[i / 2 * 4 + half * 2 + i % 2], scale);
        const int64_t index = row * to.out_stride + out;
        if (to.out_is_f32) {
          static_cast<float*>(to.out)[index] = value;
        } else {
          static_cast<__nv_bfloat16*>(to.out)[index] = __float2bfloat16_rn(value);
        }
      }
    }
  }

  __device__ void Run() {
    WaitForPreviousKernel();  // it may still read what is written here
    BoxPosition<Shape> at;
    for (int index = blockIdx.x; index < block.p.num_units; index += gridDim.x) {
      MultiplyUnit(at);
      Store(block.UnitAt(index));
    }
  }
};

template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    ManyRowsKernel(const __grid_constant__ ManyRowsParams params) {
  extern __shared__ __align__(1024) uint8_t many_rows_shared[];
  const ManyRowsBlock<Shape> block = {params, many_rows_shared};
  AllowNextKernel();
  if (threadIdx.x < Shape::kBoxes) {
    BarrierInit(block.Full(threadIdx.x), 1);
    BarrierInit(block.Empty(threadIdx.x), Shape::kComputeWarps);
    BarrierInitFence();
  }
  __syncthreads();
  if (threadIdx.x >= 32 * Shape::kComputeWarps) {
    if (threadIdx.x % 32 == 0) CopyInput(block);
  } else {
    MultiplyWarp<Shape> warp(block);
    warp.Run();
  }
}

}  // namespace talon::cuda
