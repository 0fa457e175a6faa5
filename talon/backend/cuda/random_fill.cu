#include "talon/backend/cuda/random_fill.h"

#include <cuda_bf16.h>

namespace talon::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocks = 1056;

// SplitMix64's finalizer over a counter.
__device__ uint64_t Hash(uint64_t seed, int64_t index) {
  uint64_t z = seed * 0x9E3779B97F4A7C15ull + static_cast<uint64_t>(index) * 0xD1B54A32D192ED03ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

__global__ void FillBytes(uint8_t* to, int64_t count, uint32_t low, uint32_t span, uint64_t seed) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x; i < count;
       i += step) {
    to[i] = static_cast<uint8_t>(low + (Hash(seed, i) >> 32) % span);
  }
}

__global__ void FillBf16(__nv_bfloat16* to, int64_t count, float scale, uint64_t seed) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = blockIdx.x * static_cast<int64_t>(kThreads) + threadIdx.x; i < count;
       i += step) {
    const uint64_t bits = Hash(seed, i);
    float sum = 0.0f;
    for (int part = 0; part < 4; ++part) {
      sum += static_cast<float>((bits >> (16 * part)) & 0xFFFFu) * (1.0f / 65536.0f) - 0.5f;
    }
    to[i] = __float2bfloat16_rn(sum * scale);
  }
}

}  // namespace

cudaError_t LaunchFillBytes(uint8_t* to, int64_t count, uint32_t low, uint32_t high, uint64_t seed,
                            cudaStream_t stream) {
  FillBytes<<<kBlocks, kThreads, 0, stream>>>(to, count, low, high - low + 1, seed);
  return cudaGetLastError();
}

cudaError_t LaunchFillBf16(void* to, int64_t count, float deviation, uint64_t seed,
                           cudaStream_t stream) {
  // The sum of four uniforms on [-1/2, 1/2] has variance 1/3.
  FillBf16<<<kBlocks, kThreads, 0, stream>>>(static_cast<__nv_bfloat16*>(to), count,
                                             deviation * 1.7320508f, seed);
  return cudaGetLastError();
}

}  // namespace talon::cuda
