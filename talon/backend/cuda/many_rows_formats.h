// One launcher per weight format, each compiled in a source of its own.
#pragma once

#include "talon/backend/cuda/many_rows.h"

namespace talon::cuda {

cudaError_t LaunchManyRowsNvfp4(const FewRowsProblem& problem, const DeviceLimits& limits,
                                cudaStream_t stream);
cudaError_t LaunchManyRowsBf16(const FewRowsProblem& problem, const DeviceLimits& limits,
                               cudaStream_t stream);
cudaError_t LaunchManyRowsFp8(const FewRowsProblem& problem, const DeviceLimits& limits,
                              cudaStream_t stream);

}  // namespace talon::cuda
