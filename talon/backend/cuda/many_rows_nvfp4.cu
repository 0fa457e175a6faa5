// The many-row kernel over Nvfp4 weights.
#include "talon/backend/cuda/many_rows_formats.h"
#include "talon/backend/cuda/many_rows_launch.cuh"

namespace talon::cuda {

cudaError_t LaunchManyRowsNvfp4(const FewRowsProblem& problem, const DeviceLimits& limits,
                                cudaStream_t stream) {
  return LaunchManyRowsFormat<Nvfp4Weights>(problem, limits, stream);
}

}  // namespace talon::cuda
