#include "talon/backend/cuda/logit_values.h"

namespace talon::cuda {
namespace {

constexpr int kThreads = 1024;

// A larger logit comes first, then the lower id.
struct Ranked {
  float logit;
  int32_t token;
};
__device__ bool Before(const Ranked& a, const Ranked& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

// The first of the block's candidates, on every thread.
__device__ Ranked BlockFirst(Ranked first, Ranked* shared /* [32] */) {
  for (int step = 16; step > 0; step /= 2) {
    const Ranked other = {__shfl_xor_sync(0xFFFFFFFFu, first.logit, step),
                          __shfl_xor_sync(0xFFFFFFFFu, first.token, step)};
    if (Before(other, first)) first = other;
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = first;
  __syncthreads();
  for (int i = 0; i < kThreads / 32; ++i) {
    if (Before(shared[i], first)) first = shared[i];
  }
  return first;
}

// The logit that comes next after `last` in rank order.
__device__ Ranked NextRanked(const float* logits, int64_t vocab, const Ranked& last,
                             Ranked* shared) {
  Ranked next = {-INFINITY, INT32_MAX};
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
    const Ranked candidate = {logits[i], static_cast<int32_t>(i)};
    if (Before(last, candidate) && Before(candidate, next)) next = candidate;
  }
  return BlockFirst(next, shared);
}

// Added per thread, then over the lanes of a warp by a butterfly, then over warps in order.
__device__ double BlockSumOfExp(const float* logits, int64_t vocab, float largest,
                                double* shared /* [32] */) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) sum += expf(logits[i] - largest);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, step);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = sum;
  __syncthreads();
  double total = 0.0;
  for (int i = 0; i < kThreads / 32; ++i) total += shared[i];
  return total;
}

__global__ void __launch_bounds__(kThreads)
    LogprobsKernel(Tensor logits, const int32_t* tokens, LogprobOutput out) {
  __shared__ Ranked ranked[32];
  __shared__ double sums[32];
  const int64_t r = blockIdx.x;
  const float* row = static_cast<const float*>(logits.data) + r * logits.row_stride;
  Ranked top = NextRanked(row, logits.cols, {INFINITY, -1}, ranked);
  const float largest = top.logit;
  const double log_sum = log(BlockSumOfExp(row, logits.cols, largest, sums));
  const auto logprob = [&](float logit) {
    return static_cast<float>(static_cast<double>(logit) - largest - log_sum);
  };
  if (threadIdx.x == 0) out.chosen[r] = logprob(row[tokens[r]]);
  for (int64_t i = 0; i < out.num_top; ++i) {
    if (threadIdx.x == 0) {
      out.top_tokens[r * out.num_top + i] = top.token;
      out.top_logprobs[r * out.num_top + i] = logprob(top.logit);
    }
    if (i + 1 < out.num_top) top = NextRanked(row, logits.cols, top, ranked);
  }
}

// Rounded after every operation, as on the host.
__global__ void AdjustLogitsKernel(Tensor logits, const LogitAdjustment* adjustments,
                                   int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const LogitAdjustment change = adjustments[i];
  float& logit = static_cast<float*>(logits.data)[change.row * logits.row_stride + change.token];
  float x = __fadd_rn(logit, change.bias);
  x = __fmul_rn(x, x > 0.0f ? __fdiv_rn(1.0f, change.repetition) : change.repetition);
  logit = __fsub_rn(__fsub_rn(x, change.frequency), change.presence);
}

}  // namespace

cudaError_t LaunchAdjustLogits(const Tensor& logits, const LogitAdjustment* adjustments,
                               int64_t count, cudaStream_t stream) {
  constexpr int64_t kBlock = 256;
  AdjustLogitsKernel<<<static_cast<unsigned>((count + kBlock - 1) / kBlock), kBlock, 0, stream>>>(
      logits, adjustments, count);
  return cudaGetLastError();
}

cudaError_t LaunchLogprobs(const Tensor& logits, const int32_t* tokens, const LogprobOutput& out,
                           cudaStream_t stream) {
  LogprobsKernel<<<static_cast<unsigned>(logits.rows), kThreads, 0, stream>>>(logits, tokens, out);
  return cudaGetLastError();
}

}  // namespace talon::cuda
