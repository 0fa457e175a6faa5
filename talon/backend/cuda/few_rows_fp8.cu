// The few-row kernel over Fp8 weights.
#include "talon/backend/cuda/few_rows_formats.h"
#include "talon/backend/cuda/few_rows_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchFewRowsFp8(const FewRowsProblem& problem, const DeviceLimits& limits,
                             const FewRowsTuning& tuning, cudaStream_t stream,
                             int64_t* group_sums_bytes) {
  return LaunchFormat<Fp8Weights>(problem, limits, tuning, stream, group_sums_bytes);
}

}  // namespace talon::cuda
