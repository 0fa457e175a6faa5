// Norms, RoPE and KV write: one warp per row and head.
#include "talon/backend/cuda/attention.h"
#include "talon/backend/cuda/element.cuh"
#include "talon/backend/cuda/launch.cuh"

namespace talon::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kPairs = 8;  // of a lane: heads of up to 512

// The cache by value: the host's KvLayer is no device memory.
struct CacheView {
  void* keys;
  void* values;
  int64_t kv_heads;
  int64_t head_dim;
  DType dtype;
  float k_scale;
  float v_scale;
};

// One warp's head: lane l holds the pairs (i, i + half) for i = l, l + 32, ...
struct Head {
  float low[kPairs];
  float high[kPairs];
};

struct Gains {
  float low[kPairs];
  float high[kPairs];
};

__device__ __forceinline__ void LoadGains(const float* gain, int half, int lane, Gains& gains) {
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int i = lane + 32 * j;
    gains.low[j] = gain != nullptr && i < half ? gain[i] : 1.0f;
    gains.high[j] = gain != nullptr && i < half ? gain[half + i] : 1.0f;
  }
}

__device__ __forceinline__ void LoadHead(const Tensor& x, int64_t row, int64_t begin, int half,
                                         int lane, Head& head) {
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int i = lane + 32 * j;
    head.low[j] = i < half ? Load(x, row, begin + i) : 0.0f;
    head.high[j] = i < half ? Load(x, row, begin + half + i) : 0.0f;
  }
}

// head = rb(head / rms * gain): squares per lane, then over lanes by a butterfly.
__device__ __forceinline__ void Normalize(Head& head, const Gains& gains, int half, float eps,
                                          DType dtype) {
  float sum = 0.0f;
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    sum = __fmaf_rn(head.low[j], head.low[j], sum);
    sum = __fmaf_rn(head.high[j], head.high[j], sum);
  }
  const float mean = __fdiv_rn(WarpSum(sum), static_cast<float>(2 * half));
  const float inverse = __fdiv_rn(1.0f, __fsqrt_rn(mean + eps));
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    head.low[j] = Round(__fmul_rn(__fmul_rn(head.low[j], inverse), gains.low[j]), dtype);
    head.high[j] = Round(__fmul_rn(__fmul_rn(head.high[j], inverse), gains.high[j]), dtype);
  }
}

__device__ __forceinline__ void Rotate(Head& head, const Tensor& rope, int64_t row, int half,
                                       int lane, DType dtype) {
  const float* cosines = static_cast<const float*>(rope.data) + row * rope.row_stride;
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int i = lane + 32 * j;
    const float c = i < half ? cosines[i] : 0.0f;
    const float s = i < half ? cosines[half + i] : 0.0f;
    const float low = head.low[j];
    const float high = head.high[j];
    head.low[j] =
        Round(__fadd_rn(Round(__fmul_rn(low, c), dtype), Round(__fmul_rn(-high, s), dtype)), dtype);
    head.high[j] =
        Round(__fadd_rn(Round(__fmul_rn(high, c), dtype), Round(__fmul_rn(low, s), dtype)), dtype);
  }
}

// Calls with (element of the head, its value).
template <class EachFn>
__device__ __forceinline__ void ForElements(const Head& head, int half, int lane, EachFn each) {
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int i = lane + 32 * j;
    if (i >= half) break;
    each(i, head.low[j]);
    each(half + i, head.high[j]);
  }
}

// A warp per row and head: query heads, then keys, then values. Keys go to the cache alone, so a
// value that is the raw key projection finds it unchanged.
__global__ void __launch_bounds__(kThreads) QkvKernel(QkvParams p, CacheView cache) {
  const int64_t row = blockIdx.x;
  const int64_t slot = static_cast<int64_t>(blockIdx.y) * (kThreads / 32) + threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  const int half = static_cast<int>(cache.head_dim / 2);
  const bool is_query = slot < p.num_heads;
  const bool is_key = !is_query && slot < p.num_heads + cache.kv_heads;
  const float* gain = is_query ? p.q_gain : is_key ? p.k_gain : nullptr;
  Gains gains;
  LoadGains(gain, half, lane, gains);  // weights: they need not wait
  BeginKernel();
  if (slot >= p.num_heads + 2 * cache.kv_heads) return;
  Head head;
  if (is_query) {
    const int64_t begin = slot * cache.head_dim;
    LoadHead(p.q, row, begin, half, lane, head);
    if (gain != nullptr) Normalize(head, gains, half, p.eps, p.q.dtype);
    Rotate(head, p.rope, row, half, lane, p.q.dtype);
    ForElements(head, half, lane, [&](int i, float value) { Store(p.q, row, begin + i, value); });
    return;
  }
  const int64_t kv_head = (slot - p.num_heads) % cache.kv_heads;
  const Tensor& source = is_key || p.v.data == nullptr ? p.k : p.v;
  LoadHead(source, row, kv_head * cache.head_dim, half, lane, head);
  const int64_t position = p.rows.positions[row];
  const int64_t page = PageOf(p.table, SequenceOf(p.rows, row), position);
  if (page < 0) return;
  if (is_key) {
    if (gain != nullptr) Normalize(head, gains, half, p.eps, source.dtype);
    Rotate(head, p.rope, row, half, lane, source.dtype);
  } else if (p.v_norm) {
    Normalize(head, gains, half, p.eps, source.dtype);
  }
  const int64_t at =
      KvIndex(cache.kv_heads, cache.head_dim, page, kv_head, position % kKvPageTokens);
  void* to = is_key ? cache.keys : cache.values;
  const float scale = is_key ? cache.k_scale : cache.v_scale;
  ForElements(head, half, lane, [&](int i, float value) {
    StoreElement(to, cache.dtype, at + i, __fdiv_rn(value, scale));
  });
}

}  // namespace

cudaError_t LaunchQkvNormRopeWrite(const QkvParams& params, cudaStream_t stream) {
  const KvLayer& layer = *params.cache;
  const CacheView cache = {layer.keys.get(), layer.values.get(), layer.num_kv_heads, layer.head_dim,
                           layer.dtype,      layer.k_scale,      layer.v_scale};
  if (layer.head_dim > 2 * 32 * kPairs) return cudaErrorInvalidValue;
  const int64_t slots = params.num_heads + 2 * layer.num_kv_heads;
  const dim3 grid(static_cast<unsigned>(params.q.rows),
                  static_cast<unsigned>((slots + kThreads / 32 - 1) / (kThreads / 32)));
  return LaunchDependent(QkvKernel, grid, kThreads, 0, stream, params, cache);
}

}  // namespace talon::cuda
