// The few-row kernel. One block per multiprocessor; its compute warps form teams of `group_leaves`
// warps. A team owns a row tile at a time, one leaf per warp: the warp streams its leaf's chunks
// through a private ring of shared-memory stages (bulk copies that run ahead over tile boundaries),
// decodes them in registers and adds k16 after k16 into one accumulator. The leaf sums go through
// shared memory to an epilogue warp, which adds them in the tree order while the team is already at
// its next tile. Where the activations of all leaves do not fit one block, blocks own a group of
// leaves each, and the last group to arrive at a tile adds the group sums, again in the tree order.
#pragma once

#include "talon/backend/cuda/few_rows_compute.cuh"
#include "talon/backend/cuda/few_rows_epilogue.cuh"

namespace talon::cuda {

template <class Shape>
__global__ void __launch_bounds__(Shape::kThreads, 1)
    FewRowsKernel(const __grid_constant__ FewRowsParams params) {
  extern __shared__ __align__(128) uint8_t shared[];
  const Block<Shape> block(params, shared);
  if (threadIdx.x < 32 * Shape::kComputeWarps) {
    ComputeWarp<Shape> warp(block);
    if (warp.team < block.Teams()) warp.StartRing();
    WaitForPreviousKernel();
    block.LoadActivations();
    __syncthreads();
    AllowNextKernel();
    warp.Run();
  } else {
    block.InitTeams();
    WaitForPreviousKernel();
    block.LoadActivations();
    __syncthreads();
    EpilogueWarp<Shape> warp(block);
    if (warp.index < block.Teams()) warp.Run();
  }
}

}  // namespace talon::cuda
