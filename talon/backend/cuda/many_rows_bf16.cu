// The many-row kernel over Bf16 weights.
#include "talon/backend/cuda/many_rows_formats.h"
#include "talon/backend/cuda/many_rows_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchManyRowsBf16(const FewRowsProblem& problem, const DeviceLimits& limits,
                               cudaStream_t stream) {
  return LaunchManyRowsFormat<Bf16Weights>(problem, limits, stream);
}

}  // namespace talon::cuda
