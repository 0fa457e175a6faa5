// Chooses the format's launcher and cuts row counts that one launch cannot hold.
#include "talon/backend/cuda/few_rows.h"

#include <algorithm>

#include "talon/backend/cuda/few_rows_formats.h"

namespace talon::cuda {
namespace {

cudaError_t LaunchOnce(LinearFormat format, const FewRowsProblem& problem,
                       const DeviceLimits& limits, const FewRowsTuning& tuning, cudaStream_t stream,
                       int64_t* group_sums_bytes) {
  switch (format) {
    case LinearFormat::kNvfp4:
      return LaunchFewRowsNvfp4(problem, limits, tuning, stream, group_sums_bytes);
    case LinearFormat::kBF16:
      return LaunchFewRowsBf16(problem, limits, tuning, stream, group_sums_bytes);
    case LinearFormat::kF8:
      return LaunchFewRowsFp8(problem, limits, tuning, stream, group_sums_bytes);
  }
  return cudaErrorInvalidValue;
}

// One leaf's activations beside two stages of weights must fit a block.
int MaxRows(const FewRowsProblem& problem, const DeviceLimits& limits) {
  constexpr int kReserved = 112 * 1024;
  const int row_bytes = (problem.in_features / LeavesOf(problem.in_features) + kChunkK) * 2;
  return std::clamp((limits.shared_bytes - kReserved) / row_bytes, 1, kFewRows);
}

// Rows of each launch but the last: as few launches as possible, of equal sizes.
int SliceRows(const FewRowsProblem& problem, const DeviceLimits& limits) {
  const int most = MaxRows(problem, limits);
  const int slices = (problem.rows + most - 1) / most;
  return (problem.rows + slices - 1) / slices;
}

}  // namespace

int64_t GroupSumsBytes(LinearFormat format, const FewRowsProblem& problem,
                       const DeviceLimits& limits, const FewRowsTuning& tuning) {
  FewRowsProblem part = problem;
  part.rows = SliceRows(problem, limits);
  int64_t bytes = 0;
  LaunchOnce(format, part, limits, tuning, nullptr, &bytes);
  return bytes;
}

cudaError_t LaunchFewRows(LinearFormat format, const FewRowsProblem& problem,
                          const DeviceLimits& limits, const FewRowsTuning& tuning,
                          cudaStream_t stream) {
  const int total = problem.rows;
  const int step = SliceRows(problem, limits);
  for (int row = 0; row < total; row += step) {
    FewRowsProblem part = problem;
    part.rows = std::min(step, total - row);
    part.x = static_cast<const uint16_t*>(problem.x) + row * problem.x_stride;
    for (int i = 0; i < problem.num_segments; ++i) {
      LinearSegment& segment = part.segments[i];
      const int64_t bytes = segment.out_is_f32 ? 4 : 2;
      segment.out = static_cast<uint8_t*>(segment.out) + row * segment.out_stride * bytes;
    }
    const cudaError_t error = LaunchOnce(format, part, limits, tuning, stream, nullptr);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace talon::cuda
