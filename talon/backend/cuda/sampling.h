// Tokens from logits rows and verification of drafts; the definitions are those of
// talon/backend/cpu/sampling.h, the noise is talon/backend/gumbel.h's. Pointers are device memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "talon/backend/backend.h"

namespace talon::cuda {

// `scratch` holds ArgmaxScratchBytes.
int64_t ArgmaxScratchBytes(const Tensor& logits);
cudaError_t LaunchArgmax(const Tensor& logits, void* scratch, int32_t* tokens, cudaStream_t stream);
// Masses of the top_p filter are added in fixed point (2^-44 of the likeliest token's), so their
// order does not matter.
cudaError_t LaunchSample(const Tensor& logits, const SamplingRow* rows, int32_t* tokens,
                         cudaStream_t stream);
cudaError_t LaunchMapDraftIds(const int32_t* offsets, int64_t count, int32_t* ids,
                              cudaStream_t stream);
cudaError_t LaunchVerifyDrafts(const int32_t* inputs, const int32_t* tokens, const RowBatch& rows,
                               int32_t* accepted, cudaStream_t stream);

}  // namespace talon::cuda
