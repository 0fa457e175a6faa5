// The attention kernel and its launch for one cache type; included by one source per type.
#pragma once

#include <algorithm>

#include "talon/backend/cuda/attention_block.cuh"
#include "talon/backend/cuda/launch.cuh"

namespace talon::cuda {

// Blocks of a launch with splits, about: several for every multiprocessor.
inline constexpr int64_t kMaxBlocks = 2048;

// Calls with (index of the sum, query, column) for this thread's live sums.
template <class Shape, class EachFn>
__device__ __forceinline__ void ForSums(const AttentionBlock<Shape>& block, EachFn each) {
#pragma unroll
  for (int o = 0; o < Shape::kOutputs; ++o) {
    const int at = threadIdx.x + o * kAttentionThreads;
    const int query = at / Shape::kColumns;
    const int column = Shape::Dimension(at % Shape::kColumns);
    if (query < Shape::kQueries && block.IsLive(query) && column < block.a.head_dim) {
      each(o, query, column);
    }
  }
}

template <class Shape>
__device__ __forceinline__ void StoreOutput(const AttentionBlock<Shape>& block, int query,
                                            int column, float sum, float l) {
  const AttentionView& a = block.a;
  Store(a.out, block.first_row + block.RowOf(query),
        (block.first_head + block.HeadOf(query)) * a.head_dim + column,
        __fmul_rn(__fdiv_rn(sum, l), a.v_scale));
}

// One block walks all tiles of its rows and merges them as it goes.
template <class Walk>
__device__ void WalkRows(Walk& block) {
  using Shape = typename Walk::Shape;
  float total[Shape::kOutputs];
  SoftmaxState state = {};  // of query threadIdx.x
  bool first = true;
  const int mine = threadIdx.x;
  const Visible all = block.AllVisible();
  for (int tile = all.begin / kTile; tile * kTile < all.end; ++tile) {
    const auto on_states = [&] {
      if (mine >= Shape::kQueries || !block.IsLive(mine)) return;
      MergeStep step = {{}, block.state[mine].m != -INFINITY, first};
      if (step.seen) {
        step.factor = Merge(state, block.state[mine], first);
        first = false;
      }
      block.merge[mine] = step;
    };
    block.WalkTile(tile, on_states, [&](int o, int query, float sum) {
      const MergeStep step = block.merge[query];
      if (step.seen) total[o] = MergeValue(total[o], sum, step.factor, step.first);
    });
  }
  __syncthreads();
  if (mine < Shape::kQueries) block.state[mine] = state;
  __syncthreads();
  ForSums(block, [&](int o, int query, int column) {
    StoreOutput(block, query, column, total[o], block.state[query].l);
  });
}

// Results of a query's splits, from the first one that its row sees.
template <class Shape>
__device__ __forceinline__ float* SplitResults(const AttentionBlock<Shape>& block, int query) {
  const AttentionView& a = block.a;
  const int row = block.first_row + block.RowOf(query);
  const int head = block.first_head + block.HeadOf(query);
  return a.splits + static_cast<int64_t>(row * a.heads + head) * (a.num_splits * (a.head_dim + 2));
}

// One tile, its results left for the merge.
template <class Walk>
__device__ void StoreSplit(Walk& block, int tile) {
  using Shape = typename Walk::Shape;
  const int width = block.a.head_dim + 2;
  const auto result = [&](int query) {
    const int first = block.visible[block.RowOf(query)].begin / kTile;
    return SplitResults(block, query) + (tile - first) * width;
  };
  const auto on_states = [&] {
    const int mine = threadIdx.x;
    if (mine >= Shape::kQueries || !block.IsLive(mine)) return;
    if (block.state[mine].m == -INFINITY) return;
    float* to = result(mine) + block.a.head_dim;
    to[0] = block.state[mine].m;
    to[1] = block.state[mine].l;
  };
  block.WalkTile(tile, on_states, [&](int o, int query, float sum) {
    const int column = Shape::Dimension((threadIdx.x + o * kAttentionThreads) % Shape::kColumns);
    if (column >= block.a.head_dim || block.state[query].m == -INFINITY) return;
    result(query)[column] = sum;
  });
}

// Splits of a query's row.
template <class Shape>
__device__ __forceinline__ int SplitsOf(const AttentionBlock<Shape>& block, int query) {
  const Visible v = block.visible[block.RowOf(query)];
  return (v.end - 1) / kTile - v.begin / kTile + 1;
}

// kMergeBatch splits of every query from `begin` on: states come in, merge factors go out.
inline constexpr int kMergeBatch = 32;
template <class Shape>
__device__ void MergeStates(AttentionBlock<Shape>& block, int begin, SoftmaxState& state,
                            float2* factors /* shared [kQueries][kMergeBatch] */) {
  for (int i = threadIdx.x; i < Shape::kQueries * kMergeBatch; i += kAttentionThreads) {
    const int query = i / kMergeBatch;
    const int split = begin + i % kMergeBatch;
    if (!block.IsLive(query) || split >= SplitsOf(block, query)) continue;
    const float* part =
        SplitResults(block, query) + split * (block.a.head_dim + 2) + block.a.head_dim;
    factors[i] = make_float2(__ldcg(part), __ldcg(part + 1));
  }
  __syncthreads();
  const int mine = threadIdx.x;
  if (mine < Shape::kQueries && block.IsLive(mine)) {
    float2* own = factors + mine * kMergeBatch;
    const int count = SplitsOf(block, mine);
    for (int i = 0; i < kMergeBatch && begin + i < count; ++i) {
      own[i] = Merge(state, {own[i].x, own[i].y}, begin + i == 0);
    }
    block.state[mine] = state;
  }
  __syncthreads();
}

// Merges the splits of all the block's queries and writes the outputs.
template <class Shape>
__device__ void MergeSplits(AttentionBlock<Shape>& block) {
  const int width = block.a.head_dim + 2;
  auto* factors = reinterpret_cast<float2*>(block.partial);
  float total[Shape::kOutputs];
  int most = 0;
  for (int q = 0; q < Shape::kQueries; ++q) {
    if (block.IsLive(q)) most = max(most, SplitsOf(block, q));
  }
  SoftmaxState state = {};
  for (int begin = 0; begin < most; begin += kMergeBatch) {
    __syncthreads();
    MergeStates(block, begin, state, factors);
    ForSums(block, [&](int o, int query, int column) {
      const float* results = SplitResults(block, query) + begin * width + column;
      const int batch = min(kMergeBatch, SplitsOf(block, query) - begin);
#pragma unroll 8
      for (int i = 0; i < batch; ++i) {
        total[o] = MergeValue(total[o], __ldcg(results + i * width),
                              factors[query * kMergeBatch + i], begin + i == 0);
      }
    });
  }
  ForSums(block, [&](int o, int query, int column) {
    StoreOutput(block, query, column, total[o], block.state[query].l);
  });
}

// True in the block that arrives last of a row group's splits.
__device__ __forceinline__ bool ArriveLast(const AttentionView& a) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    uint32_t* count = a.arrivals + blockIdx.x * gridDim.y + blockIdx.y;
    last = atomicAdd(count, 1u) + 1 == gridDim.z;
    if (last) *count = 0;
    __threadfence();
  }
  __syncthreads();
  return last;
}

// Calls work() for every run of rows of one sequence in the block's row group and returns their
// number; `pointed`: there is one run, and the block points at it already.
template <class Walk, class WorkFn>
__device__ __forceinline__ int ForSequences(Walk& block, WorkFn work, bool pointed = false) {
  const AttentionView& a = block.a;
  const int first = blockIdx.x * a.BlockRows();
  const int end = min(first + a.BlockRows(), static_cast<int>(a.q.rows));
  int runs = 0;
  for (int row = first, stop = end; row < end; row = stop, ++runs) {
    if (!pointed) {
      const int sequence = static_cast<int>(SequenceOf(a.rows, row));
      stop = min(end, a.rows.row_begin[sequence + 1]);
      block.PointAt(row, stop - row, sequence);
    }
    work();
  }
  return runs;
}

template <class Walk>
__global__ void __launch_bounds__(kAttentionThreads, Walk::Shape::kBlocks)
    WalkKernel(const __grid_constant__ AttentionView a) {
  extern __shared__ __align__(128) uint8_t shared[];
  AllowNextKernel();
  Walk block(a, shared);
  ForSequences(block, [&] { WalkRows(block); });
}

// Block z does every gridDim.z-th tile, counted from the first that any of its rows sees. Positions
// and page tables are there before the kernel before has finished; a tile waits for the rest.
template <class Walk>
__global__ void __launch_bounds__(kAttentionThreads, Walk::Shape::kBlocks)
    SplitKernel(const __grid_constant__ AttentionView a) {
  extern __shared__ __align__(128) uint8_t shared[];
  AllowNextKernel();
  Walk block(a, shared);
  const int runs = ForSequences(block, [&] {
    const Visible all = block.AllVisible();
    for (int tile = all.begin / kTile + blockIdx.z; tile * kTile < all.end; tile += gridDim.z) {
      StoreSplit(block, tile);
    }
  });
  WaitForPreviousKernel();
  if (ArriveLast(a))
    ForSequences(
        block, [&] { MergeSplits(block); }, runs == 1);
}

template <class Walk>
cudaError_t LaunchWalk(const AttentionView& a, cudaStream_t stream) {
  constexpr int kSharedBytes = Walk::Shape::kSharedBytes;
  auto* kernel = a.splits == nullptr ? WalkKernel<Walk> : SplitKernel<Walk>;
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  if (error != cudaSuccess) return error;
  const int64_t groups = (a.q.rows + a.BlockRows() - 1) / a.BlockRows();
  const int64_t blocks = int64_t{a.kv_heads} * a.head_chunks;
  // A page table may be far longer than its sequence: blocks enough for the device, no more.
  const int64_t splits = std::clamp<int64_t>(kMaxBlocks / (groups * blocks), 1, a.num_splits);
  const dim3 grid(static_cast<unsigned>(groups), static_cast<unsigned>(blocks),
                  static_cast<unsigned>(a.splits == nullptr ? 1 : splits));
  return LaunchDependent(kernel, grid, kAttentionThreads, kSharedBytes, stream, a);
}

}  // namespace talon::cuda
