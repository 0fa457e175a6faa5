// The attention kernel and its launch for one cache type; included by one source per type.
#pragma once

#include <algorithm>

#include "talon/backend/cuda/attention_kernel.cuh"
#include "talon/backend/cuda/launch.cuh"

namespace talon::cuda {

// Calls with (index of the sum, query, column) for this thread's live sums.
template <class Shape, class EachFn>
__device__ __forceinline__ void ForSums(const AttentionBlock<Shape>& block, EachFn each) {
#pragma unroll
  for (int o = 0; o < Shape::kOutputs; ++o) {
    const int at = threadIdx.x + o * kAttentionThreads;
    const int query = AttentionBlock<Shape>::QueryOf(at);
    const int column = AttentionBlock<Shape>::ColumnOf(at);
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
template <class Shape>
__device__ void WalkRows(AttentionBlock<Shape>& block) {
  float total[Shape::kOutputs];
  SoftmaxState state[Shape::kQueries];
  bool first[Shape::kQueries];
#pragma unroll
  for (int n = 0; n < Shape::kQueries; ++n) first[n] = true;
  const Visible all = block.AllVisible();
  for (int64_t tile = all.begin / kTile; tile * kTile < all.end; ++tile) {
    block.WalkTile(tile);
    float2 factor[Shape::kQueries];
    bool seen[Shape::kQueries], starts[Shape::kQueries];
#pragma unroll
    for (int n = 0; n < Shape::kQueries; ++n) {
      seen[n] = block.state[n].m != -INFINITY;
      starts[n] = first[n];
      if (!seen[n]) continue;
      factor[n] = Merge(state[n], block.state[n], first[n]);
      first[n] = false;
    }
#pragma unroll
    for (int o = 0; o < Shape::kOutputs; ++o) {
      const int query = block.QueryOf(threadIdx.x + o * kAttentionThreads);
#pragma unroll
      for (int n = 0; n < Shape::kQueries; ++n) {
        if (query == n && seen[n]) {
          total[o] = MergeValue(total[o], block.sums[o], factor[n], starts[n]);
        }
      }
    }
  }
  ForSums(block, [&](int o, int query, int column) {
    float l = state[0].l;
#pragma unroll
    for (int n = 1; n < Shape::kQueries; ++n) l = query == n ? state[n].l : l;
    StoreOutput(block, query, column, total[o], l);
  });
}

// Results of a query's splits, from the first one that its row sees.
template <class Shape>
__device__ __forceinline__ float* SplitResults(const AttentionBlock<Shape>& block, int query) {
  const AttentionView& a = block.a;
  const int64_t row = block.first_row + block.RowOf(query);
  const int64_t head = block.first_head + block.HeadOf(query);
  return a.splits + (row * a.heads + head) * a.num_splits * (a.head_dim + 2);
}

template <class Shape>
__device__ void StoreSplit(const AttentionBlock<Shape>& block, int64_t tile) {
  const int64_t width = block.a.head_dim + 2;
  const auto result = [&](int query) {
    const int64_t first = block.visible[block.RowOf(query)].begin / kTile;
    return SplitResults(block, query) + (tile - first) * width;
  };
  ForSums(block, [&](int o, int query, int column) {
    if (block.state[query].m != -INFINITY) result(query)[column] = block.sums[o];
  });
  if (threadIdx.x < Shape::kQueries && block.IsLive(threadIdx.x) &&
      block.state[threadIdx.x].m != -INFINITY) {
    float* to = result(threadIdx.x) + block.a.head_dim;
    to[0] = block.state[threadIdx.x].m;
    to[1] = block.state[threadIdx.x].l;
  }
}

// Splits of a query's row.
template <class Shape>
__device__ __forceinline__ int64_t SplitsOf(const AttentionBlock<Shape>& block, int query) {
  const Visible v = block.visible[block.RowOf(query)];
  return (v.end - 1) / kTile - v.begin / kTile + 1;
}

// kMergeBatch splits of every query from `begin` on: states come in, merge factors go out.
inline constexpr int kMergeBatch = 32;
template <class Shape>
__device__ void MergeStates(AttentionBlock<Shape>& block, int64_t begin, SoftmaxState& state,
                            float2* factors /* shared [kQueries][kMergeBatch] */) {
  for (int i = threadIdx.x; i < Shape::kQueries * kMergeBatch; i += kAttentionThreads) {
    const int query = i / kMergeBatch;
    const int64_t split = begin + i % kMergeBatch;
    if (!block.IsLive(query) || split >= SplitsOf(block, query)) continue;
    const float* part =
        SplitResults(block, query) + split * (block.a.head_dim + 2) + block.a.head_dim;
    factors[i] = make_float2(__ldcg(part), __ldcg(part + 1));
  }
  __syncthreads();
  const int mine = threadIdx.x;
  if (mine < Shape::kQueries && block.IsLive(mine)) {
    float2* own = factors + mine * kMergeBatch;
    const int64_t count = SplitsOf(block, mine);
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
  const int64_t width = block.a.head_dim + 2;
  auto* factors = reinterpret_cast<float2*>(block.partial);
  float total[Shape::kOutputs];
  int64_t most = 0;
  for (int q = 0; q < Shape::kQueries; ++q) {
    if (block.IsLive(q)) most = max(most, SplitsOf(block, q));
  }
  SoftmaxState state = {};
  for (int64_t begin = 0; begin < most; begin += kMergeBatch) {
    __syncthreads();
    MergeStates(block, begin, state, factors);
    ForSums(block, [&](int o, int query, int column) {
      const float* results = SplitResults(block, query) + begin * width + column;
      const auto batch =
          static_cast<int>(min(static_cast<int64_t>(kMergeBatch), SplitsOf(block, query) - begin));
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

// Calls work(block) for every run of rows of one sequence in the block's row group.
template <class Shape, class WorkFn>
__device__ __forceinline__ void ForSequences(AttentionBlock<Shape>& block, WorkFn work) {
  const AttentionView& a = block.a;
  const int64_t end =
      min((static_cast<int64_t>(blockIdx.x) + 1) * (Shape::kQueries >> a.head_bits), a.q.rows);
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * (Shape::kQueries >> a.head_bits);
       row < end;) {
    const int64_t sequence = SequenceOf(a.rows, row);
    const int64_t stop = min(end, static_cast<int64_t>(a.rows.row_begin[sequence + 1]));
    block.PointAt(row, static_cast<int>(stop - row), sequence);
    work();
    row = stop;
  }
}

// With splits, block z does the z-th tile counted from the first that any of its rows sees.
template <class Shape>
__global__ void __launch_bounds__(kAttentionThreads)
    AttendKernel(const __grid_constant__ AttentionView a) {
  BeginKernel();
  extern __shared__ __align__(16) uint8_t shared[];
  AttentionBlock<Shape> block(a, shared);
  if (a.splits == nullptr) {
    ForSequences(block, [&] { WalkRows(block); });
    return;
  }
  ForSequences(block, [&] {
    const Visible all = block.AllVisible();
    const int64_t tile = all.begin / kTile + blockIdx.z;
    if (tile * kTile >= all.end) return;
    block.WalkTile(tile);
    StoreSplit(block, tile);
  });
  if (ArriveLast(a)) ForSequences(block, [&] { MergeSplits(block); });
}

template <class Shape>
cudaError_t LaunchShape(const AttentionView& a, cudaStream_t stream) {
  const int64_t chunks = (a.heads / a.kv_heads + a.BlockHeads() - 1) / a.BlockHeads();
  auto* kernel = AttendKernel<Shape>;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::kSharedBytes);
  if (error != cudaSuccess) return error;
  const int64_t block_rows = Shape::kQueries >> a.head_bits;
  const int64_t groups = (a.q.rows + block_rows - 1) / block_rows;
  const dim3 grid(static_cast<unsigned>(groups), static_cast<unsigned>(a.kv_heads * chunks),
                  static_cast<unsigned>(a.splits == nullptr ? 1 : a.num_splits));
  return LaunchDependent(kernel, grid, kAttentionThreads, Shape::kSharedBytes, stream, a);
}

template <class Cache, int kQueries>
cudaError_t LaunchLanes(const AttentionView& a, cudaStream_t stream) {
  if (a.head_dim <= 64) return LaunchShape<AttentionShape<Cache, kQueries, 2>>(a, stream);
  if (a.head_dim <= 128) return LaunchShape<AttentionShape<Cache, kQueries, 4>>(a, stream);
  if (a.head_dim <= 256) return LaunchShape<AttentionShape<Cache, kQueries, 8>>(a, stream);
  return LaunchShape<AttentionShape<Cache, kQueries, 16>>(a, stream);
}

template <class Cache>
cudaError_t LaunchAttentionOf(const AttentionView& a, cudaStream_t stream) {
  if (a.num_queries <= 2) return LaunchLanes<Cache, 2>(a, stream);
  if (a.num_queries <= 4) return LaunchLanes<Cache, 4>(a, stream);
  return LaunchLanes<Cache, 8>(a, stream);
}

}  // namespace talon::cuda
