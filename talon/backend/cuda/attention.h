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

// Splits that rows of up to block_table_stride pages can have.
int64_t MaxSplits(int64_t block_table_stride);
// Bytes of split results when each split has a block of its own: [row][head][split][head_dim + 2]
// F32.
int64_t SplitBytes(const AttentionParams& params);

// `splits` holds SplitBytes or is null: then one block walks a row's splits and nothing is stored
// in between. Both give the same bits.
cudaError_t LaunchAttention(const AttentionParams& params, float* splits, cudaStream_t stream);

}  // namespace talon::cuda
