// Plans and launches the many-row kernel for one weight format; included by one source per format.
#pragma once

#include "talon/backend/cuda/few_rows_launch.cuh"
#include "talon/backend/cuda/many_rows_kernel.cuh"
#include "talon/backend/cuda/tensor_map.h"

namespace talon::cuda {

// Blocks of outputs of all segments, `tiles` row tiles each; fills `first_blocks` if not null.
inline int OutputBlocks(const FewRowsProblem& problem, int tiles, int* first_blocks) {
  int blocks = 0;
  for (int i = 0; i < problem.num_segments; ++i) {
    if (first_blocks != nullptr) first_blocks[i] = blocks;
    const int outs = tiles * kTileRows;
    blocks += (problem.segments[i].out_features + outs - 1) / outs;
  }
  return blocks;
}

template <class Shape>
cudaError_t LaunchManyRowsShape(const FewRowsProblem& problem, const DeviceLimits& limits,
                                cudaStream_t stream) {
  ManyRowsParams p = {};
  p.linear = ParamsOf(problem);
  p.row_blocks = (problem.rows + Shape::kUnitRows - 1) / Shape::kUnitRows;
  p.num_units = OutputBlocks(problem, Shape::kTiles, p.first_blocks) * p.row_blocks;
  p.stored_levels = p.linear.num_leaves == 8 ? 2 : p.linear.num_leaves == 4 ? 1 : 0;
  if (Shape::Bytes(p.stored_levels) > limits.shared_bytes) return cudaErrorInvalidConfiguration;
  const cudaError_t map_error = MakeTensorMap(
      {problem.x, problem.rows, problem.in_features, problem.x_stride, Shape::kUnitRows, kBoxK},
      &p.x);
  if (map_error != cudaSuccess) return map_error;
  auto* kernel = ManyRowsKernel<Shape>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, limits.shared_bytes);
  if (error != cudaSuccess) return error;
  const int blocks = std::min(limits.multiprocessors, p.num_units);
  return LaunchDependent(kernel, dim3(static_cast<unsigned>(blocks)), Shape::kThreads,
                         Shape::Bytes(p.stored_levels), stream, p);
}

// Time of the units that the busiest multiprocessor does, about: each decodes its weights, whatever
// its rows.
inline double CostOf(const FewRowsProblem& problem, const DeviceLimits& limits, int warpgroups,
                     int unit_rows) {
  const int blocks = OutputBlocks(problem, kGroupTiles * warpgroups, nullptr);
  const int units = blocks * ((problem.rows + unit_rows - 1) / unit_rows);
  const int rounds = (units + limits.multiprocessors - 1) / limits.multiprocessors;
  return rounds * (warpgroups + 0.5) * (unit_rows + 32.0);
}

// The cut that is done soonest; only speed depends on it, never a bit of the result.
template <class Weights>
cudaError_t LaunchManyRowsFormat(const FewRowsProblem& problem, const DeviceLimits& limits,
                                 cudaStream_t stream) {
  double best = 1e300;
  int best_warpgroups = 1, best_rows = 64;
  for (const int warpgroups : {2, 1}) {
    for (const int rows : {128, 64}) {
      const double cost = CostOf(problem, limits, warpgroups, rows);
      if (cost >= best) continue;
      best = cost;
      best_warpgroups = warpgroups;
      best_rows = rows;
    }
  }
  const auto launch = [&](auto shape) {
    return LaunchManyRowsShape<decltype(shape)>(problem, limits, stream);
  };
  if (best_rows == 128) {
    return best_warpgroups == 2 ? launch(ManyRowsShape<Weights, 2, 128>())
                                : launch(ManyRowsShape<Weights, 1, 128>());
  }
  return best_warpgroups == 2 ? launch(ManyRowsShape<Weights, 2, 64>())
                              : launch(ManyRowsShape<Weights, 1, 64>());
}

}  // namespace talon::cuda
