// RMS norms and the residual add, one block per row. A thread owns runs of eight columns, so that
// BF16 rows move in 16-byte words; how they are loaded never changes the order of the sums.
#include <algorithm>

#include "talon/backend/cuda/element.cuh"
#include "talon/backend/cuda/launch.cuh"
#include "talon/backend/cuda/row_ops.h"

namespace talon::cuda {
namespace {

constexpr int kRun = 8;
constexpr int kMaxThreads = 1024;

__device__ __forceinline__ bool MovesInWords(const Tensor& t) {
  return t.cols % kRun == 0 && t.row_stride % kRun == 0 &&
         reinterpret_cast<uintptr_t>(t.data) % 16 == 0;
}

// Columns [col, col + 8) of a row; zeros beyond its end.
__device__ __forceinline__ void LoadRun(const Tensor& t, int64_t row, int64_t col,
                                        float (&values)[kRun]) {
  const int64_t at = row * t.row_stride + col;
  if (t.dtype == DType::kBF16 && MovesInWords(t) && col < t.cols) {
    const uint4 words = *reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(t.data) + at);
    const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      values[2 * i] = __uint_as_float(word[i] << 16);
      values[2 * i + 1] = __uint_as_float(word[i] & 0xFFFF0000u);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kRun; ++i) {
    values[i] = col + i < t.cols ? LoadElement(t.data, t.dtype, at + i) : 0.0f;
  }
}

__device__ __forceinline__ void StoreRun(const Tensor& t, int64_t row, int64_t col,
                                         const float (&values)[kRun]) {
  const int64_t at = row * t.row_stride + col;
  if (t.dtype == DType::kBF16 && MovesInWords(t)) {
    uint32_t word[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      word[i] = Bf16Bits(values[2 * i]) | static_cast<uint32_t>(Bf16Bits(values[2 * i + 1])) << 16;
    }
    *reinterpret_cast<uint4*>(static_cast<uint16_t*>(t.data) + at) =
        make_uint4(word[0], word[1], word[2], word[3]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kRun; ++i) {
    if (col + i < t.cols) StoreElement(t.data, t.dtype, at + i, values[i]);
  }
}

__device__ __forceinline__ void Scale(float (&values)[kRun], float inverse,
                                      const float (&gain)[kRun]) {
#pragma unroll
  for (int i = 0; i < kRun; ++i) values[i] = __fmul_rn(__fmul_rn(values[i], inverse), gain[i]);
}

__device__ __forceinline__ float SumOfSquares(const float (&values)[kRun], float sum) {
#pragma unroll
  for (int i = 0; i < kRun; ++i) sum = __fmaf_rn(values[i], values[i], sum);
  return sum;
}

__device__ __forceinline__ float InverseRmsOf(float sum_of_squares, int64_t cols, float eps,
                                              float* shared) {
  const float mean = __fdiv_rn(BlockSum(sum_of_squares, shared), static_cast<float>(cols));
  return __fdiv_rn(1.0f, __fsqrt_rn(mean + eps));
}

__device__ __forceinline__ void LoadGain(const float* gain, int64_t col, int64_t cols,
                                         float (&values)[kRun]) {
  if (gain != nullptr && cols % kRun == 0 && col < cols) {
    const float4 low = *reinterpret_cast<const float4*>(gain + col);
    const float4 high = *reinterpret_cast<const float4*>(gain + col + 4);
    const float all[kRun] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < kRun; ++i) values[i] = all[i];
    return;
  }
#pragma unroll
  for (int i = 0; i < kRun; ++i)
    values[i] = gain != nullptr && col + i < cols ? gain[col + i] : 1.0f;
}

// A thread's run is `col` and every blockDim.x * kRun columns further; most rows have one. Gains
// are weights, which need not wait for the kernel before.
struct NormRow {
  const NormParams& norm;
  float* shared;
  float gain[kRun];

  __device__ NormRow(const NormParams& params, float* memory) : norm(params), shared(memory) {
    LoadGain(norm.gain, threadIdx.x * kRun, norm.out.cols, gain);
  }

  // `values`: the row's first run, already loaded.
  __device__ void Run(const Tensor& x, int64_t row, float (&values)[kRun]) {
    const int64_t first = threadIdx.x * kRun;
    const int64_t step = static_cast<int64_t>(blockDim.x) * kRun;
    float sum = SumOfSquares(values, 0.0f);
    float more[kRun];
    for (int64_t col = first + step; col < x.cols; col += step) {
      LoadRun(x, row, col, more);
      sum = SumOfSquares(more, sum);
    }
    const float inverse = InverseRmsOf(sum, x.cols, norm.eps, shared);
    Scale(values, inverse, gain);
    if (first < x.cols) StoreRun(norm.out, row, first, values);
    for (int64_t col = first + step; col < x.cols; col += step) {
      float more_gain[kRun];
      LoadRun(x, row, col, more);
      LoadGain(norm.gain, col, x.cols, more_gain);
      Scale(more, inverse, more_gain);
      StoreRun(norm.out, row, col, more);
    }
  }
};

__device__ __forceinline__ void LoadFirst(const Tensor& x, int64_t row, float (&values)[kRun]) {
  LoadRun(x, row, threadIdx.x * kRun, values);
}

struct NormAddRow {
  const NormAddParams& p;
  float* shared;
  float gain[kRun];

  __device__ NormAddRow(const NormAddParams& params, float* memory) : p(params), shared(memory) {
    LoadGain(p.gain, threadIdx.x * kRun, p.branch.cols, gain);
  }

  // residual = rb(rb(residual + rb(branch)) * scalar)
  __device__ void Join(const float (&branch)[kRun], float (&residual)[kRun]) const {
    const DType dtype = p.residual.dtype;
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      residual[i] = Round(__fadd_rn(residual[i], Round(branch[i], dtype)), dtype);
      if (p.layer_scalar != 1.0f) {
        residual[i] = Round(__fmul_rn(residual[i], p.layer_scalar), dtype);
      }
    }
  }

  // Leaves the first run of the new residual in `residual`.
  __device__ void Run(int64_t row, float (&residual)[kRun]) {
    const int64_t first = threadIdx.x * kRun;
    const int64_t step = static_cast<int64_t>(blockDim.x) * kRun;
    const int64_t cols = p.branch.cols;
    float branch[kRun], more[kRun], more_residual[kRun];
    LoadFirst(p.branch, row, branch);
    LoadFirst(p.residual, row, residual);
    float sum = SumOfSquares(branch, 0.0f);
    for (int64_t col = first + step; col < cols; col += step) {
      LoadRun(p.branch, row, col, more);
      sum = SumOfSquares(more, sum);
    }
    const float inverse = InverseRmsOf(sum, cols, p.eps, shared);
    Scale(branch, inverse, gain);
    Join(branch, residual);
    if (first < cols) StoreRun(p.residual, row, first, residual);
    for (int64_t col = first + step; col < cols; col += step) {
      float more_gain[kRun];
      LoadRun(p.branch, row, col, more);
      LoadRun(p.residual, row, col, more_residual);
      LoadGain(p.gain, col, cols, more_gain);
      Scale(more, inverse, more_gain);
      Join(more, more_residual);
      StoreRun(p.residual, row, col, more_residual);
    }
  }
};

__global__ void __launch_bounds__(kMaxThreads) RmsNormKernel(Tensor x, NormParams norm) {
  __shared__ float shared[32];
  NormRow row(norm, shared);
  BeginKernel();
  float values[kRun];
  LoadFirst(x, blockIdx.x, values);
  row.Run(x, blockIdx.x, values);
}

__global__ void __launch_bounds__(kMaxThreads) NormAddKernel(NormAddParams p) {
  __shared__ float shared[32];
  NormAddRow row(p, shared);
  BeginKernel();
  float residual[kRun];
  row.Run(blockIdx.x, residual);
}

// Every thread reads back the columns that it wrote itself.
__global__ void __launch_bounds__(kMaxThreads) NormAddNormKernel(NormAddParams p, NormParams norm) {
  __shared__ float shared[32];
  NormAddRow add(p, shared);
  NormRow row(norm, shared);
  BeginKernel();
  float residual[kRun];
  add.Run(blockIdx.x, residual);
  row.Run(p.residual, blockIdx.x, residual);
}

// By the number of columns alone.
int ThreadsFor(int64_t cols) {
  const int64_t warps = (cols + kRun * 32 - 1) / (kRun * 32);
  return static_cast<int>(std::min<int64_t>(kMaxThreads, warps * 32));
}

}  // namespace

cudaError_t LaunchRmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out,
                          cudaStream_t stream) {
  return LaunchDependent(RmsNormKernel, dim3(static_cast<unsigned>(x.rows)), ThreadsFor(x.cols), 0,
                         stream, x, NormParams{gain, eps, out});
}

cudaError_t LaunchNormAdd(const NormAddParams& params, cudaStream_t stream) {
  return LaunchDependent(NormAddKernel, dim3(static_cast<unsigned>(params.branch.rows)),
                         ThreadsFor(params.branch.cols), 0, stream, params);
}

cudaError_t LaunchNormAddNorm(const NormAddParams& params, const NormParams& norm,
                              cudaStream_t stream) {
  return LaunchDependent(NormAddNormKernel, dim3(static_cast<unsigned>(params.branch.rows)),
                         ThreadsFor(params.branch.cols), 0, stream, params, norm);
}

}  // namespace talon::cuda
