// Changes of single logits and log-probabilities; the definitions are those of
// talon/backend/cpu/sampling.h. Pointers are device memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "talon/backend/backend.h"

namespace talon::cuda {

cudaError_t LaunchAdjustLogits(const Tensor& logits, const LogitAdjustment* adjustments,
                               int64_t count, cudaStream_t stream);
// Sums are FP32 exponentials added in FP64 in an order fixed by the vocabulary's size.
cudaError_t LaunchLogprobs(const Tensor& logits, const int32_t* tokens, const LogprobOutput& out,
                           cudaStream_t stream);

}  // namespace talon::cuda
