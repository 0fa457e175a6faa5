// One launcher per weight format, each compiled in a source of its own. With `group_sums_bytes` it
// only reports what the launch would need.
#pragma once

#include "talon/backend/cuda/few_rows.h"

namespace talon::cuda {

cudaError_t LaunchFewRowsNvfp4(const FewRowsProblem& problem, const DeviceLimits& limits,
                               const FewRowsTuning& tuning, cudaStream_t stream,
                               int64_t* group_sums_bytes);
cudaError_t LaunchFewRowsBf16(const FewRowsProblem& problem, const DeviceLimits& limits,
                              const FewRowsTuning& tuning, cudaStream_t stream,
                              int64_t* group_sums_bytes);
cudaError_t LaunchFewRowsFp8(const FewRowsProblem& problem, const DeviceLimits& limits,
                             const FewRowsTuning& tuning, cudaStream_t stream,
                             int64_t* group_sums_bytes);

}  // namespace talon::cuda
