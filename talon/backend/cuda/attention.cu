#include "talon/backend/cuda/attention.h"

#include <algorithm>

#include "talon/backend/cuda/attention_kernel.cuh"

namespace talon::cuda {
namespace {

constexpr int kMaxHeads = 8;
constexpr int kMergeThreads = 128;

__device__ float* SplitResult(const AttentionView& a, int64_t row, int64_t head, int64_t split) {
  return a.splits + ((row * a.heads + head) * a.num_splits + split) * (a.head_dim + 2);
}

// Calls with (index of the sum, head, column) for this thread's live sums.
template <class Block, class EachFn>
__device__ __forceinline__ void ForSums(const AttentionView& a, const Block& block, EachFn each) {
#pragma unroll
  for (int o = 0; o < Block::kOutputs; ++o) {
    const int at = threadIdx.x + o * kAttentionThreads;
    const int head = Block::HeadOf(at);
    const int column = Block::ColumnOf(at);
    if (head < block.live_heads && column < a.head_dim) each(o, head, column);
  }
}

// Leaves one split's state and weighted sums for MergeKernel.
template <class Block>
__device__ void StoreSplit(const AttentionView& a, const Block& block) {
  ForSums(a, block, [&](int o, int head, int column) {
    SplitResult(a, block.row, block.first_head + head, blockIdx.z)[column] = block.sums[o];
  });
  if (threadIdx.x < block.live_heads) {
    float* to = SplitResult(a, block.row, block.first_head + threadIdx.x, blockIdx.z);
    to[a.head_dim] = block.state[threadIdx.x].m;
    to[a.head_dim + 1] = block.state[threadIdx.x].l;
  }
}

// One block walks all splits of a row and merges them as it goes.
template <class Block>
__device__ void WalkRow(const AttentionView& a, Block& block, Visible visible) {
  float total[Block::kOutputs];
  SoftmaxState state[Block::kHeadCount];
  bool first = true;
  for (int64_t split = visible.begin / kSplitTokens; split * kSplitTokens < visible.end; ++split) {
    block.WalkSplit(split, visible);
    float2 factor[Block::kHeadCount];
#pragma unroll
    for (int h = 0; h < Block::kHeadCount; ++h) factor[h] = Merge(state[h], block.state[h], first);
#pragma unroll
    for (int o = 0; o < Block::kOutputs; ++o) {
      const int head = Block::HeadOf(threadIdx.x + o * kAttentionThreads);
      float2 mine = factor[0];
#pragma unroll
      for (int h = 1; h < Block::kHeadCount; ++h) mine = head == h ? factor[h] : mine;
      total[o] = MergeValue(total[o], block.sums[o], mine, first);
    }
    first = false;
  }
  ForSums(a, block, [&](int o, int head, int column) {
    float l = state[0].l;
#pragma unroll
    for (int h = 1; h < Block::kHeadCount; ++h) l = head == h ? state[h].l : l;
    Store(a.out, block.row, (block.first_head + head) * a.head_dim + column,
          __fmul_rn(__fdiv_rn(total[o], l), a.v_scale));
  });
}

// With `splits`, block z does the z-th split counted from the row's first visible one.
template <class Block>
__global__ void __launch_bounds__(kAttentionThreads)
    AttendKernel(const __grid_constant__ AttentionView a) {
  BeginKernel();
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
__global__ void __launch_bounds__(kMergeThreads)
    MergeKernel(const __grid_constant__ AttentionView a) {
  BeginKernel();
  const int64_t row = blockIdx.x;
  const int64_t head = blockIdx.y;
  const Visible visible = VisibleKeys(a, row);
  const int64_t first_split = visible.begin / kSplitTokens;
  const int64_t count = (visible.end - 1) / kSplitTokens - first_split + 1;
  for (int64_t column = threadIdx.x; column < a.head_dim; column += kMergeThreads) {
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

template <int kHeads, int kLane>
cudaError_t LaunchShape(const AttentionView& a, cudaStream_t stream) {
  using Block = AttentionBlock<kHeads, kLane>;
  const int64_t chunks = (a.heads / a.kv_heads + kHeads - 1) / kHeads;
  auto* kernel = AttendKernel<Block>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Block::kSharedBytes);
  if (error != cudaSuccess) return error;
  const dim3 grid(static_cast<unsigned>(a.q.rows), static_cast<unsigned>(a.kv_heads * chunks),
                  static_cast<unsigned>(a.splits == nullptr ? 1 : a.num_splits));
  return LaunchDependent(kernel, grid, kAttentionThreads, Block::kSharedBytes, stream, a);
}

template <int kHeads>
cudaError_t LaunchHeads(const AttentionView& a, cudaStream_t stream) {
  if (a.head_dim <= 32) return LaunchShape<kHeads, 1>(a, stream);
  if (a.head_dim <= 64) return LaunchShape<kHeads, 2>(a, stream);
  if (a.head_dim <= 128) return LaunchShape<kHeads, 4>(a, stream);
  if (a.head_dim <= 256) return LaunchShape<kHeads, 8>(a, stream);
  if (a.head_dim <= 512) return LaunchShape<kHeads, 16>(a, stream);
  return cudaErrorInvalidValue;
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
  a.num_splits = NumSplits(params);
  a.splits = splits;
  const int64_t group = params.num_heads / layer.num_kv_heads;
  const cudaError_t error = group <= 2   ? LaunchHeads<2>(a, stream)
                            : group <= 4 ? LaunchHeads<4>(a, stream)
                                         : LaunchHeads<kMaxHeads>(a, stream);
  if (error != cudaSuccess || splits == nullptr) return error;
  const dim3 grid(static_cast<unsigned>(params.q.rows), static_cast<unsigned>(params.num_heads));
  return LaunchDependent(MergeKernel, grid, kMergeThreads, 0, stream, a);
}

}  // namespace talon::cuda
