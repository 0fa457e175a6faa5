// What attention kernels are told, and the launchers of the cache types, each compiled in a source
// of its own.
#pragma once

#include "talon/backend/cuda/attention.h"

namespace talon::cuda {

struct AttentionView {
  Tensor q;
  Tensor out;
  RowBatch rows;
  BlockTable table;
  const void* keys;
  const void* values;
  int64_t kv_heads;
  int64_t heads;
  int64_t head_dim;
  int64_t window;
  float scale;  // of the scores, k_scale included
  float v_scale;
  int num_queries;     // of a block: 2, 4 or 8; rows that share loads times 2^head_bits
  int head_bits;       // a block does 2^head_bits query heads of a row
  int64_t num_splits;  // of a block of their own each
  float* splits;       // [row][head][split][head_dim + 2], or null: one block walks all
  uint32_t* arrivals;  // [row group][KV head and part of its query heads], zero between launches

  constexpr int BlockHeads() const { return 1 << head_bits; }
};

cudaError_t LaunchBf16Attention(const AttentionView& view, cudaStream_t stream);
cudaError_t LaunchFp8Attention(const AttentionView& view, cudaStream_t stream);
cudaError_t LaunchF32Attention(const AttentionView& view, cudaStream_t stream);

}  // namespace talon::cuda
