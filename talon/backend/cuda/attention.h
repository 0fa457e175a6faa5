// Norms, RoPE and the KV write after the projections, and paged attention (docs/numerics.md 4).
// Pages lie as [page][kv_head][16 tokens][head_dim]. Pointers are device memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "talon/backend/backend.h"

namespace talon::cuda {

// Positions of one split; the last split of a row is usually shorter.
inline constexpr int64_t kSplitTokens = 128;

cudaError_t LaunchQkvNormRopeWrite(const QkvParams& params, cudaStream_t stream);

// Bytes of split results when each split has a block of its own: [row][head][split][head_dim + 2]
// F32.
int64_t SplitBytes(const AttentionParams& params);
int64_t ArrivalBytes(const AttentionParams& params);

struct AttentionScratch {
  float* splits = nullptr;       // SplitBytes
  uint32_t* arrivals = nullptr;  // ArrivalBytes, zero before and after
  bool tensor_cores = true;      // where there is a kernel for them
};

// Without splits one block walks a row's tiles; both ways give the same bits.
cudaError_t LaunchAttention(const AttentionParams& params, const AttentionScratch& scratch,
                            cudaStream_t stream);

}  // namespace talon::cuda
