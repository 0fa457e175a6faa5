// Norms, RoPE and KV write: one block per row and head.
#include "talon/backend/cuda/attention.h"
#include "talon/backend/cuda/element.cuh"
#include "talon/backend/cuda/launch.cuh"

namespace talon::cuda {
namespace {

constexpr int kThreads = 128;

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

// head = rope(rb(head / rms * gain)) in place.
__device__ void NormAndRotate(const QkvParams& p, const Tensor& x, int64_t row, int64_t begin,
                              int64_t head_dim, const float* gain, float* shared) {
  const int64_t half = head_dim / 2;
  const float* cosines = static_cast<const float*>(p.rope.data) + row * p.rope.row_stride;
  const float inverse = gain == nullptr ? 1.0f : InverseRms(x, row, begin, head_dim, p.eps, shared);
  for (int64_t i = threadIdx.x; i < half; i += kThreads) {
    float low = Load(x, row, begin + i);
    float high = Load(x, row, begin + half + i);
    if (gain != nullptr) {
      low = Round(__fmul_rn(__fmul_rn(low, inverse), gain[i]), x.dtype);
      high = Round(__fmul_rn(__fmul_rn(high, inverse), gain[half + i]), x.dtype);
    }
    const float c = cosines[i];
    const float s = cosines[half + i];
    Store(x, row, begin + i,
          __fadd_rn(Round(__fmul_rn(low, c), x.dtype), Round(__fmul_rn(-high, s), x.dtype)));
    Store(x, row, begin + half + i,
          __fadd_rn(Round(__fmul_rn(high, c), x.dtype), Round(__fmul_rn(low, s), x.dtype)));
  }
}

__device__ void WriteValue(const QkvParams& p, const CacheView& cache, int64_t row, int64_t kv_head,
                           int64_t at, float* shared) {
  const Tensor& source = p.v.data != nullptr ? p.v : p.k;
  const int64_t begin = kv_head * cache.head_dim;
  const float inverse =
      p.v_norm ? InverseRms(source, row, begin, cache.head_dim, p.eps, shared) : 1.0f;
  for (int64_t i = threadIdx.x; i < cache.head_dim; i += kThreads) {
    const float value = Round(__fmul_rn(Load(source, row, begin + i), inverse), source.dtype);
    StoreElement(cache.values, cache.dtype, at + i, __fdiv_rn(value, cache.v_scale));
  }
}

__global__ void __launch_bounds__(kThreads) QkvKernel(QkvParams p, CacheView cache) {
  BeginKernel();
  __shared__ float shared[32];
  const int64_t row = blockIdx.x;
  const int64_t head = blockIdx.y;

  if (head < p.num_heads) {
    NormAndRotate(p, p.q, row, head * cache.head_dim, cache.head_dim, p.q_gain, shared);
    return;
  }
  const int64_t kv_head = head - p.num_heads;
  const int64_t position = p.rows.positions[row];
  const int64_t page = PageOf(p.table, SequenceOf(p.rows, row), position);
  if (page < 0) return;
  const int64_t at =
      KvIndex(cache.kv_heads, cache.head_dim, page, kv_head, position % kKvPageTokens);
  WriteValue(p, cache, row, kv_head, at, shared);  // first: V may be the raw K projection
  __syncthreads();
  const int64_t begin = kv_head * cache.head_dim;
  NormAndRotate(p, p.k, row, begin, cache.head_dim, p.k_gain, shared);
  __syncthreads();
  for (int64_t i = threadIdx.x; i < cache.head_dim; i += kThreads) {
    StoreElement(cache.keys, cache.dtype, at + i,
                 __fdiv_rn(Load(p.k, row, begin + i), cache.k_scale));
  }
}

}  // namespace

cudaError_t LaunchQkvNormRopeWrite(const QkvParams& params, cudaStream_t stream) {
  const KvLayer& layer = *params.cache;
  const CacheView cache = {layer.keys.get(), layer.values.get(), layer.num_kv_heads, layer.head_dim,
                           layer.dtype,      layer.k_scale,      layer.v_scale};
  const dim3 grid(static_cast<unsigned>(params.q.rows),
                  static_cast<unsigned>(params.num_heads + layer.num_kv_heads));
  return LaunchDependent(QkvKernel, grid, kThreads, 0, stream, params, cache);
}

}  // namespace talon::cuda
