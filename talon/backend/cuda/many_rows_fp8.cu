// The many-row kernel over Fp8 weights.
#include "talon/backend/cuda/many_rows_formats.h"
#include "talon/backend/cuda/many_rows_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchManyRowsFp8(const FewRowsProblem& problem, const DeviceLimits& limits,
                              cudaStream_t stream) {
  return LaunchManyRowsFormat<Fp8Weights>(problem, limits, stream);
}

}  // namespace talon::cuda
