// Plans and launches the few-row kernel for one weight format; included by one source per format.
#pragma once

#include <algorithm>

#include "talon/backend/cuda/few_rows_kernel.cuh"

namespace talon::cuda {

inline FewRowsParams ParamsOf(const FewRowsProblem& problem) {
  FewRowsParams p = {};
  const int64_t chunks = (problem.in_features + kChunkK - 1) / kChunkK;
  p.num_leaves = LeavesOf(problem.in_features);
  p.leaf_chunks = static_cast<int>(chunks / p.num_leaves);
  p.num_segments = problem.num_segments;
  p.rows = problem.rows;
  p.x = problem.x;
  p.x_stride = problem.x_stride;
  p.in_features = problem.in_features;
  p.group_sums = problem.group_sums;
  p.arrivals = problem.arrivals;
  for (int i = 0; i < problem.num_segments; ++i) {
    const LinearSegment& segment = problem.segments[i];
    p.first_tiles[i] = p.num_tiles;
    p.weights[i] = segment.weights;
    p.outputs[i] = {segment.row_scales, segment.out,          segment.out_stride,
                    segment.sum_scale,  segment.out_features, segment.out_is_f32};
    p.num_tiles += (segment.out_features + kTileRows - 1) / kTileRows;
  }
  return p;
}

// Stages that divide the leaf where one of the two unrolled lengths does.
constexpr int StageChunks(int leaf_chunks, int most) {
  return leaf_chunks % most != 0 && most > 2 && leaf_chunks % (most - 1) == 0 ? most - 1 : most;
}

template <class Shape>
cudaError_t LaunchShape(const FewRowsProblem& problem, const DeviceLimits& limits,
                        const FewRowsTuning& tuning, cudaStream_t stream,
                        int64_t* group_sums_bytes) {
  FewRowsParams p = ParamsOf(problem);
  if (tuning.leaves > 0) {
    p.leaf_chunks = p.leaf_chunks * p.num_leaves / tuning.leaves;
    p.num_leaves = tuning.leaves;
  }
  const int leaf_bytes = p.leaf_chunks * kChunkK * p.rows * 2;
  p.stage_chunks = StageChunks(p.leaf_chunks, Shape::kStageChunks);
  p.stage_bytes = p.stage_chunks * Shape::Weights::kChunkBytes;
  const int ring_stage = Shape::kComputeWarps * p.stage_bytes;
  const int room = limits.shared_bytes - Shape::kRingOffset;
  const auto stages = [&](int leaves) {
    return std::min({tuning.max_stages, kMaxStages, (room - leaves * leaf_bytes) / ring_stage});
  };
  p.group_leaves = p.num_leaves;
  while (p.group_leaves > 1 && (p.group_leaves * leaf_bytes > tuning.max_activation_bytes ||
                                stages(p.group_leaves) < 2)) {
    p.group_leaves /= 2;
  }
  p.num_groups = p.num_leaves / p.group_leaves;
  p.rows_magic = static_cast<uint32_t>((uint64_t{1} << 32) / p.rows + 1);
  p.num_stages = stages(p.group_leaves);
  if (p.num_stages < 1) return cudaErrorInvalidConfiguration;

  if (group_sums_bytes != nullptr) {
    *group_sums_bytes =
        p.num_groups == 1 ? 0 : int64_t{p.num_tiles} * p.num_groups * Shape::kSumItems * 8;
    return cudaSuccess;
  }
  auto* kernel = FewRowsKernel<Shape>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, limits.shared_bytes);
  if (error != cudaSuccess) return error;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(std::min(limits.multiprocessors, p.num_tiles * p.num_groups));
  config.blockDim = dim3(Shape::kThreads);
  config.dynamicSmemBytes =
      Shape::kRingOffset + p.num_stages * ring_stage + p.group_leaves * leaf_bytes;
  config.stream = stream;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = tuning.dependent_launch ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, p);
}

template <class Weights>
cudaError_t LaunchFormat(const FewRowsProblem& problem, const DeviceLimits& limits,
                         const FewRowsTuning& tuning, cudaStream_t stream,
                         int64_t* group_sums_bytes) {
  // Wider launches hand over more sums, hence more epilogue warps.
  const auto launch = [&](auto shape) {
    return LaunchShape<decltype(shape)>(problem, limits, tuning, stream, group_sums_bytes);
  };
  if (problem.rows <= 8) return launch(FewRowsShape<Weights, 1, 24, 4>());
  if (problem.rows <= 16) return launch(FewRowsShape<Weights, 2, 24, 8>());
  return launch(FewRowsShape<Weights, 4, 16, 8>());
}

}  // namespace talon::cuda
