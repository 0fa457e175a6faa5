// Access to elements of tensors by their run-time type (uniform over a launch), and reductions in
// one fixed order. Mirrors talon/backend/cpu/element.h.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "talon/backend/tensor.h"

namespace talon::cuda {

__device__ __forceinline__ float Bf16Value(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}
__device__ __forceinline__ uint16_t Bf16Bits(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}
__device__ __forceinline__ float Fp8Value(uint8_t code) {
  return __half2float(__half(__nv_cvt_fp8_to_halfraw(code, __NV_E4M3)));
}
__device__ __forceinline__ uint8_t Fp8Code(float value) {
  return static_cast<uint8_t>(__nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3));
}

__device__ __forceinline__ float LoadElement(const void* data, DType dtype, int64_t index) {
  if (dtype == DType::kBF16) return Bf16Value(static_cast<const uint16_t*>(data)[index]);
  if (dtype == DType::kF8E4M3) return Fp8Value(static_cast<const uint8_t*>(data)[index]);
  return static_cast<const float*>(data)[index];
}

// Rounds to nearest even; FP8 saturates.
__device__ __forceinline__ void StoreElement(void* data, DType dtype, int64_t index, float value) {
  if (dtype == DType::kBF16) {
    static_cast<uint16_t*>(data)[index] = Bf16Bits(value);
  } else if (dtype == DType::kF8E4M3) {
    static_cast<uint8_t*>(data)[index] = Fp8Code(value);
  } else {
    static_cast<float*>(data)[index] = value;
  }
}

// `rb` of docs/numerics.md.
__device__ __forceinline__ float Round(float value, DType dtype) {
  return dtype == DType::kBF16 ? __bfloat162float(__float2bfloat16_rn(value)) : value;
}

__device__ __forceinline__ float Load(const Tensor& t, int64_t row, int64_t col) {
  return LoadElement(t.data, t.dtype, row * t.row_stride + col);
}
__device__ __forceinline__ void Store(const Tensor& t, int64_t row, int64_t col, float value) {
  StoreElement(t.data, t.dtype, row * t.row_stride + col, value);
}

// Sum over a block of up to 1024 threads (whole warps), the same on every thread: lanes by a
// butterfly, then warps by another. `shared` holds 32 floats and may be used again at once.
__device__ __forceinline__ float WarpSum(float value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, step);
  return value;
}
__device__ __forceinline__ float BlockSum(float value, float* shared) {
  const float warp_sum = WarpSum(value);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = warp_sum;
  __syncthreads();
  const float sum = WarpSum(threadIdx.x % 32 < blockDim.x / 32 ? shared[threadIdx.x % 32] : 0.0f);
  __syncthreads();
  return sum;
}

// The page of `position` in a sequence, or -1; the sequence that owns a row.
__device__ __forceinline__ int64_t PageOf(const BlockTable& table, int64_t sequence,
                                          int64_t position) {
  return table.pages[sequence * table.stride + position / kKvPageTokens];
}
__device__ __forceinline__ int64_t SequenceOf(const RowBatch& rows, int64_t row) {
  int64_t sequence = 0;
  while (rows.row_begin[sequence + 1] <= row) ++sequence;
  return sequence;
}

// K and V pages lie as [page][kv_head][16 tokens][head_dim].
__device__ __forceinline__ int64_t KvIndex(int64_t kv_heads, int64_t head_dim, int64_t page,
                                           int64_t kv_head, int64_t slot) {
  return ((page * kv_heads + kv_head) * kKvPageTokens + slot) * head_dim;
}

}  // namespace talon::cuda
