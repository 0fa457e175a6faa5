// y = x W^T for many rows (prefill and wide batches) on Hopper's warpgroup products, with the bits
// of the few-row kernel (few_rows.h).
#pragma once

#include <cuda_runtime_api.h>

#include "talon/backend/cuda/few_rows.h"

namespace talon::cuda {

// More rows than one launch of the few-row kernel takes, on a device that has the instructions.
bool PrefersManyRows(const FewRowsProblem& problem, const DeviceLimits& limits);

// Any number of rows; group_sums and arrivals are not used.
cudaError_t LaunchManyRows(LinearFormat format, const FewRowsProblem& problem,
                           const DeviceLimits& limits, cudaStream_t stream);

}  // namespace talon::cuda
