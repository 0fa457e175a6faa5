#include "talon/backend/cuda/attention.h"

#include <algorithm>

#include "talon/backend/cuda/attention_kernel.cuh"

namespace talon::cuda {
namespace {

constexpr int kMaxHeads = 8;

__device__ float* SplitResult(const AttentionView& a, int64_t row, int64_t head, int64_t split) {
  return a.splits + ((row * a.heads + head) * a.num_splits + split) * (a.head_dim + 2);
}

// Leaves one split's state and weighted sums for MergeKernel.
template <class Block>
__device__ void StoreSplit(const AttentionView& a, const Block& block) {
#pragma unroll
  for (int h = 0; h < Block::kHeadCount; ++h) {
    if (h >= block.live_heads) break;
    float* to = SplitResult(a, block.row, block.first_head + h, blockIdx.z);
    if (threadIdx.x == 0) {
      to[a.head_dim] = block.state[h].m;
      to[a.head_dim + 1] = block.state[h].l;
    }
#pragma unroll
    for (int j = 0; j < Block::kColumnCount; ++j) {
      const int64_t column = threadIdx.x + j * kAttentionThreads;
      if (column < a.head_dim) to[column] = block.sums[j][h];
    }
  }
}

// One block walks all splits of a row and merges them as it goes.
template <class Block>
__device__ void WalkRow(const AttentionView& a, Block& block, Visible visible) {
  float total[Block::kColumnCount][Block::kHeadCount];
  SoftmaxState state[Block::kHeadCount];
  bool first = true;
  for (int64_t split = visible.begin / kSplitTokens; split * kSplitTokens < visible.end; ++split) {
    block.WalkSplit(split, visible);
#pragma unroll
    for (int h = 0; h < Block::kHeadCount; ++h) {
      const float2 factor = Merge(state[h], block.state[h], first);
#pragma unroll
      for (int j = 0; j < Block::kColumnCount; ++j) {
        total[j][h] = MergeValue(total[j][h], block.sums[j][h], factor, first);
      }
    }
    first = false;
  }
#pragma unroll
  for (int h = 0; h < Block::kHeadCount; ++h) {
    if (h >= block.live_heads) break;
#pragma unroll
    for (int j = 0; j < Block::kColumnCount; ++j) {
      const int64_t column = threadIdx.x + j * kAttentionThreads;
      if (column >= a.head_dim) break;
      Store(a.out, block.row, (block.first_head + h) * a.head_dim + column,
            __fmul_rn(__fdiv_rn(total[j][h], state[h].l), a.v_scale));
    }
  }
}

// With `splits`, block z does the z-th split counted from the row's first visible one.
template <class Block>
__global__ void __launch_bounds__(kAttentionThreads)
    AttendKernel(const __grid_constant__ AttentionView a) {
  extern __shared__ __align__(16) uint8_t shared[];
  const Visible visible = VisibleKeys(a, blockIdx.x);
  const int64_t split = visible.begin / kSplitTokens + blockIdx.z;
  if (split * kSplitTokens >= visible.end) return;
  Block block(a, shared);
  if (a.splits == nullptr) {
    WalkRow(a, block, visible);
  } else {
    block.WalkSplit(split, visible);
    StoreSplit(a, block);
  }
}

// One block per row and head.
__global__ void __launch_bounds__(kAttentionThreads)
    MergeKernel(const __grid_constant__ AttentionView a) {
  const int64_t row = blockIdx.x;
  const int64_t head = blockIdx.y;
  const Visible visible = VisibleKeys(a, row);
  const int64_t first_split = visible.begin / kSplitTokens;
  const int64_t count = (visible.end - 1) / kSplitTokens - first_split + 1;
  for (int64_t column = threadIdx.x; column < a.head_dim; column += kAttentionThreads) {
    SoftmaxState state;
    float total = 0.0f;
    for (int64_t split = 0; split < count; ++split) {
      const float* part = SplitResult(a, row, head, split);
      const float2 factor = Merge(state, {part[a.head_dim], part[a.head_dim + 1]}, split == 0);
      total = MergeValue(total, part[column], factor, split == 0);
    }
    Store(a.out, row, head * a.head_dim + column, __fmul_rn(__fdiv_rn(total, state.l), a.v_scale));
  }
}

template <int kHeads, int kColumns>
cudaError_t LaunchShape(const AttentionView& a, cudaStream_t stream) {
  using Block = AttentionBlock<kHeads, kColumns>;
  const int64_t chunks = (a.heads / a.kv_heads + kHeads - 1) / kHeads;
  const int64_t bytes =
      Block::TileOffset(a.head_dim) + a.tile_tokens * (a.head_dim * SizeOf(a.dtype) + 16);
  auto* kernel = AttendKernel<Block>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>(a.q.rows), static_cast<unsigned>(a.kv_heads * chunks),
                  static_cast<unsigned>(a.splits == nullptr ? 1 : a.num_splits));
  kernel<<<grid, kAttentionThreads, static_cast<size_t>(bytes), stream>>>(a);
  return cudaGetLastError();
}

template <int kHeads>
cudaError_t LaunchHeads(const AttentionView& a, cudaStream_t stream) {
  if (a.head_dim <= 128) return LaunchShape<kHeads, 1>(a, stream);
  if (a.head_dim <= 256) return LaunchShape<kHeads, 2>(a, stream);
  if (a.head_dim <= 512) return LaunchShape<kHeads, 4>(a, stream);
  return cudaErrorInvalidValue;
}

// The largest power of two of tokens that gives every thread at most one score and fits the tile.
int TileTokens(const AttentionParams& params) {
  const KvLayer& layer = *params.cache;
  const int64_t group = params.num_heads / layer.num_kv_heads;
  int tokens = kKvPageTokens;
  while (tokens * 2 <= kMaxTileTokens && tokens * 2 * group <= kAttentionThreads &&
         tokens * 2 * layer.head_dim * SizeOf(layer.dtype) <= kTileBytes) {
    tokens *= 2;
  }
  return tokens;
}

int64_t NumSplits(const AttentionParams& params) {
  const int64_t all = MaxSplits(params.table.stride);
  if (params.window == 0) return all;
  return std::min(all, (params.window + kSplitTokens - 1) / kSplitTokens + 1);
}

}  // namespace

int64_t MaxSplits(int64_t block_table_stride) {
  return (block_table_stride * kKvPageTokens + kSplitTokens - 1) / kSplitTokens;
}

int64_t SplitBytes(const AttentionParams& params) {
  return params.q.rows * params.num_heads * NumSplits(params) * (params.cache->head_dim + 2) * 4;
}

cudaError_t LaunchAttention(const AttentionParams& params, float* splits, cudaStream_t stream) {
  const KvLayer& layer = *params.cache;
  AttentionView a = {};
  a.q = params.q;
  a.out = params.out;
  a.rows = params.rows;
  a.table = params.table;
  a.keys = layer.keys.get();
  a.values = layer.values.get();
  a.kv_heads = layer.num_kv_heads;
  a.heads = params.num_heads;
  a.head_dim = layer.head_dim;
  a.window = params.window;
  a.scale = params.scale * layer.k_scale;
  a.v_scale = layer.v_scale;
  a.dtype = layer.dtype;
  a.tile_tokens = TileTokens(params);
  a.num_splits = NumSplits(params);
  a.splits = splits;
  const int64_t group = params.num_heads / layer.num_kv_heads;
  const cudaError_t error = group <= 2   ? LaunchHeads<2>(a, stream)
                            : group <= 4 ? LaunchHeads<4>(a, stream)
                                         : LaunchHeads<kMaxHeads>(a, stream);
  if (error != cudaSuccess || splits == nullptr) return error;
  const dim3 grid(static_cast<unsigned>(params.q.rows), static_cast<unsigned>(params.num_heads));
  MergeKernel<<<grid, kAttentionThreads, 0, stream>>>(a);
  return cudaGetLastError();
}

}  // namespace talon::cuda
