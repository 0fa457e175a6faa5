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
  int kv_heads;
  int heads;
  int head_dim;
  int window;
  float scale;  // of the scores, k_scale included
  float v_scale;
  int num_queries;     // of a block, a power of two: rows that share loads times 2^head_bits
  int head_bits;       // a block does 2^head_bits query heads of a row
  int group;           // query heads of a KV head
  int head_chunks;     // blocks that share them
  int num_splits;      // of a row, room for
  float* splits;       // [row][head][split][head_dim + 2], or null: one block walks all
  uint32_t* arrivals;  // [row group][KV head and part of its query heads], zero between launches

  constexpr int BlockHeads() const { return 1 << head_bits; }
  constexpr int BlockRows() const { return num_queries >> head_bits; }
};

cudaError_t LaunchBf16Attention(const AttentionView& view, cudaStream_t stream);
cudaError_t LaunchFp8Attention(const AttentionView& view, cudaStream_t stream);
cudaError_t LaunchF32Attention(const AttentionView& view, cudaStream_t stream);

// On tensor cores. Queries of a block at most: as many as registers hold.
constexpr int MostTensorQueries(int head_dim) { return head_dim > 256 ? 16 : 32; }
cudaError_t LaunchBf16TensorAttention(const AttentionView& view, cudaStream_t stream);
cudaError_t LaunchFp8TensorAttention(const AttentionView& view, cudaStream_t stream);

}  // namespace talon::cuda
