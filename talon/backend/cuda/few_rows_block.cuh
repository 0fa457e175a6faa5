// What compute and epilogue warps of the few-row kernel share: sizes, the balanced tree, a block's
// view of its work, and the activations' way into shared memory.
#pragma once

#include "talon/backend/cuda/few_rows_params.h"
#include "talon/backend/cuda/weight_format.cuh"

namespace talon::cuda {

inline constexpr int kBlockItems = kTileRows * 8 / 2;  // float2 of 16 outputs x 8 rows
inline constexpr int kMaxStages = 8;

// The sizes of one instantiation: kRowBlocks blocks of 8 rows. Shared memory: barriers, leaf sums,
// weight rings, activations.
template <class Format, int kRowBlocksOf, int kComputeWarpsOf, int kEpilogueWarpsOf>
struct FewRowsShape {
  using Weights = Format;
  static constexpr int kRowBlocks = kRowBlocksOf;
  static constexpr int kComputeWarps = kComputeWarpsOf;
  static constexpr int kEpilogueWarps = kEpilogueWarpsOf;
  static constexpr int kThreads = 32 * (kComputeWarps + kEpilogueWarps);
  static constexpr int kStageChunks = Weights::kStageChunks;
  static constexpr int kTeamBarrierOffset = kComputeWarps * kMaxStages * 8;
  static constexpr int kSumOffset = (kTeamBarrierOffset + kComputeWarps * 16 + 127) / 128 * 128;
  static constexpr int kSumItems = kRowBlocks * kBlockItems;  // of one warp
  static constexpr int kRingOffset = kSumOffset + kComputeWarps * kSumItems * 8;
};

__device__ __forceinline__ float2 Add2(float2 a, float2 b) {
  return make_float2(__fadd_rn(a.x, b.x), __fadd_rn(a.y, b.y));
}
// The balanced tree over load(0) .. load(count - 1); count is 1, 2, 4 or 8.
template <class LoadFn>
__device__ __forceinline__ float2 TreeSum(int count, LoadFn load) {
  if (count == 1) return load(0);
  if (count == 2) return Add2(load(0), load(1));
  const float2 low = Add2(Add2(load(0), load(1)), Add2(load(2), load(3)));
  if (count == 4) return low;
  return Add2(low, Add2(Add2(load(4), load(5)), Add2(load(6), load(7))));
}

__device__ __forceinline__ int SegmentOf(const FewRowsParams& p, int tile) {
  int index = 0;
#pragma unroll
  for (int i = 1; i < kMaxSegments; ++i) {
    if (i < p.num_segments && tile >= p.first_tiles[i]) index = i;
  }
  return index;
}

// What compute and epilogue warps share: the block's group of leaves, the tiles of a team,
// barriers.
template <class Shape>
struct Block {
  const FewRowsParams& p;
  uint8_t* shared;
  int group, blocks_of_group, block_of_group;

  __device__ Block(const FewRowsParams& params, uint8_t* memory) : p(params), shared(memory) {
    group = blockIdx.x % p.num_groups;
    blocks_of_group = (gridDim.x - group + p.num_groups - 1) / p.num_groups;
    block_of_group = blockIdx.x / p.num_groups;
  }
  __device__ int Teams() const { return Shape::kComputeWarps / p.group_leaves; }
  __device__ int FirstTile(int team) const { return team * blocks_of_group + block_of_group; }
  __device__ int TileStep() const { return Teams() * blocks_of_group; }
  // A team's sums are in shared memory / have been read.
  __device__ uint32_t Full(int team) const {
    return SharedAddress(shared) + Shape::kTeamBarrierOffset + team * 16;
  }
  __device__ uint32_t Empty(int team) const { return Full(team) + 8; }
  __device__ float2* Sums(int warp) const {
    return reinterpret_cast<float2*>(shared + Shape::kSumOffset) + warp * Shape::kSumItems;
  }
  __device__ uint8_t* Activations() const {
    return shared + Shape::kRingOffset + Shape::kComputeWarps * p.num_stages * p.stage_bytes;
  }

  __device__ void InitTeams() const {
    for (int team = threadIdx.x - 32 * Shape::kComputeWarps; team < Teams();
         team += 32 * Shape::kEpilogueWarps) {
      BarrierInit(Full(team), p.group_leaves * 32);
      BarrierInit(Empty(team), 32);
    }
  }

  // One 16-byte piece of x (columns 8 i .. 8 i + 7 of a chunk) goes to word i of the four lanes
  // t = 0 .. 3 of its row; `at` counts (chunk, row). Threads start at different t to spread banks.
  __device__ void StorePiece(uint32_t at, uint32_t i, uint4 v) const {
    uint32_t* to = reinterpret_cast<uint32_t*>(Activations()) + at * 16 + i;
    const uint32_t turn = (at >> 1) & 3;
    if (turn & 1) v = make_uint4(v.y, v.z, v.w, v.x);
    if (turn & 2) v = make_uint4(v.z, v.w, v.x, v.y);
    to[4 * turn] = v.x;
    to[4 * ((turn + 1) & 3)] = v.y;
    to[4 * ((turn + 2) & 3)] = v.z;
    to[4 * ((turn + 3) & 3)] = v.w;
  }

  // x of this block's leaves in the order of the B operand, [chunk][row][t][16 bytes]: the column
  // pairs t, t + 4 (step 0), t + 8, t + 12 (step 1) of a chunk.
  __device__ void LoadActivations() const {
    const uint32_t chunks = p.group_leaves * p.leaf_chunks;
    const uint32_t items = chunks * p.rows * 4;
    const __nv_bfloat16* x = static_cast<const __nv_bfloat16*>(p.x);
    const int64_t first_k = static_cast<int64_t>(group) * chunks * kChunkK;
    constexpr int kBatch = 4;
    for (uint32_t first = threadIdx.x; first < items; first += kBatch * Shape::kThreads) {
      uint4 v[kBatch];
#pragma unroll
      for (int j = 0; j < kBatch; ++j) {
        const uint32_t item = first + j * Shape::kThreads;
        const uint32_t at = item / 4;
        const uint32_t chunk = p.rows == 1 ? at : __umulhi(at, p.rows_magic);
        const int64_t row = at - chunk * p.rows;
        const int64_t k = first_k + chunk * kChunkK + item % 4 * 8;
        v[j] = make_uint4(0, 0, 0, 0);
        if (item < items && k < p.in_features) {
          v[j] = *reinterpret_cast<const uint4*>(x + row * p.x_stride + k);
        }
      }
#pragma unroll
      for (int j = 0; j < kBatch; ++j) {
        const uint32_t item = first + j * Shape::kThreads;
        if (item < items) StorePiece(item / 4, item % 4, v[j]);
      }
    }
  }
};

}  // namespace talon::cuda
