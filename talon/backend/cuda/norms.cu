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
  if (t.dtype == DType::kBF16 && MovesInWords(t)) {
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

// The row times `inverse` and, where there is one, the gain.
__device__ __forceinline__ void Scale(float (&values)[kRun], float inverse, const float* gain,
                                      int64_t col, int64_t cols) {
#pragma unroll
  for (int i = 0; i < kRun; ++i) {
    values[i] = __fmul_rn(values[i], inverse);
    if (gain != nullptr && col + i < cols) values[i] = __fmul_rn(values[i], gain[col + i]);
  }
}

// Calls with every column at which one of this thread's runs begins.
template <class RunFn>
__device__ __forceinline__ void ForRuns(int64_t cols, RunFn run) {
  for (int64_t col = threadIdx.x * kRun; col < cols; col += blockDim.x * kRun) run(col);
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

__device__ void NormRow(const Tensor& x, int64_t row, const NormParams& norm, float* shared) {
  float sum = 0.0f;
  float values[kRun];
  ForRuns(x.cols, [&](int64_t col) {
    LoadRun(x, row, col, values);
    sum = SumOfSquares(values, sum);
  });
  const float inverse = InverseRmsOf(sum, x.cols, norm.eps, shared);
  ForRuns(x.cols, [&](int64_t col) {
    LoadRun(x, row, col, values);
    Scale(values, inverse, norm.gain, col, x.cols);
    StoreRun(norm.out, row, col, values);
  });
}

__device__ void NormAddRow(const NormAddParams& p, int64_t row, float* shared) {
  const DType dtype = p.residual.dtype;
  float sum = 0.0f;
  float branch[kRun], residual[kRun];
  ForRuns(p.branch.cols, [&](int64_t col) {
    LoadRun(p.branch, row, col, branch);
    sum = SumOfSquares(branch, sum);
  });
  const float inverse = InverseRmsOf(sum, p.branch.cols, p.eps, shared);
  ForRuns(p.branch.cols, [&](int64_t col) {
    LoadRun(p.branch, row, col, branch);
    LoadRun(p.residual, row, col, residual);
    Scale(branch, inverse, p.gain, col, p.branch.cols);
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      residual[i] = __fadd_rn(residual[i], Round(branch[i], dtype));
      if (p.layer_scalar != 1.0f) {
        residual[i] = __fmul_rn(Round(residual[i], dtype), p.layer_scalar);
      }
    }
    StoreRun(p.residual, row, col, residual);
  });
}

__global__ void __launch_bounds__(kMaxThreads) RmsNormKernel(Tensor x, NormParams norm) {
  BeginKernel();
  __shared__ float shared[32];
  NormRow(x, blockIdx.x, norm, shared);
}

__global__ void __launch_bounds__(kMaxThreads) NormAddKernel(NormAddParams p) {
  BeginKernel();
  __shared__ float shared[32];
  NormAddRow(p, blockIdx.x, shared);
}

// Every thread reads back the columns that it wrote itself.
__global__ void __launch_bounds__(kMaxThreads) NormAddNormKernel(NormAddParams p, NormParams norm) {
  BeginKernel();
  __shared__ float shared[32];
  NormAddRow(p, blockIdx.x, shared);
  NormRow(p.residual, blockIdx.x, norm, shared);
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
