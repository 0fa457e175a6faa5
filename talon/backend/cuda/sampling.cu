// One block per logits row. A threshold among the logits is found by radix selection over order-
// preserving keys, eight bits at a time.
#include "talon/backend/cuda/sampling.h"

#include <algorithm>

#include "talon/backend/cuda/element.cuh"
#include "talon/backend/cuda/launch.cuh"
#include "talon/backend/gumbel.h"

namespace talon::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kPartThreads = 256;
constexpr int64_t kPartLogits = 4096;
constexpr int64_t kMaxParts = 64;
constexpr int kDigits = 256;
constexpr double kMassUnit = 17592186044416.0;  // 2^44

// Larger score first, then the lower id.
struct Best {
  double score;
  int32_t token;
};
__device__ bool Better(const Best& a, const Best& b) {
  return a.score > b.score || (a.score == b.score && a.token < b.token);
}

__device__ Best WarpBest(Best best) {
  for (int step = 16; step > 0; step /= 2) {
    const Best other = {__shfl_xor_sync(0xFFFFFFFFu, best.score, step),
                        __shfl_xor_sync(0xFFFFFFFFu, best.token, step)};
    if (Better(other, best)) best = other;
  }
  return best;
}

__device__ Best BlockBest(Best best, Best* shared /* [33] */) {
  best = WarpBest(best);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 1; i < blockDim.x / 32; ++i) {
      if (Better(shared[i], best)) best = shared[i];
    }
    shared[32] = best;
  }
  __syncthreads();
  best = shared[32];
  __syncthreads();
  return best;
}

// The likeliest token, or -1 when a logit is NaN.
__device__ Best Likeliest(const float* logits, int64_t vocab, Best* shared) {
  Best best = {-INFINITY, INT32_MAX};
  bool nan = false;
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
    const float value = logits[i];
    nan |= isnan(value);
    const Best candidate = {value, static_cast<int32_t>(i)};
    if (Better(candidate, best)) best = candidate;
  }
  if (__syncthreads_or(nan) != 0) return {0.0, -1};
  return BlockBest(best, shared);
}

// Keys grow with the logit; -0 and +0 share one.
__device__ uint32_t KeyOf(float value) {
  const uint32_t bits = __float_as_uint(value == 0.0f ? 0.0f : value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ float ValueOf(uint32_t key) {
  return __uint_as_float((key & 0x80000000u) != 0 ? key & 0x7FFFFFFFu : ~key);
}

struct Select {
  unsigned long long amounts[kDigits];
  uint32_t prefix;
  unsigned long long above;
};

// The smallest key k of a logit such that amounts of strictly larger keys stay below `limit`;
// amounts are whole numbers (a count or a fixed-point mass) given by amount(logit).
template <class AmountFn>
__device__ uint32_t SelectKey(const float* logits, int64_t vocab, unsigned long long limit,
                              Select& shared, AmountFn amount) {
  if (threadIdx.x == 0) {
    shared.prefix = 0;
    shared.above = 0;
  }
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int i = threadIdx.x; i < kDigits; i += kThreads) shared.amounts[i] = 0;
    __syncthreads();
    const uint32_t prefix = shared.prefix;
    for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
      const uint32_t key = KeyOf(logits[i]);
      if (shift < 24 && (key >> (shift + 8)) != (prefix >> (shift + 8))) continue;
      atomicAdd(&shared.amounts[(key >> shift) & 255u], amount(logits[i]));
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      // The last digit that still has amounts and less than `limit` above it.
      unsigned long long above = shared.above;
      int chosen = -1;
      for (int digit = kDigits - 1; digit >= 0; --digit) {
        if (shared.amounts[digit] == 0) continue;
        if (above >= limit && chosen >= 0) break;
        chosen = digit;
        shared.above = above;
        above += shared.amounts[digit];
      }
      shared.prefix = prefix | (static_cast<uint32_t>(max(chosen, 0)) << shift);
    }
    __syncthreads();
  }
  return shared.prefix;
}

// The lowest logit a token may have: min_p, then top_k, then top_p (sampling.h of the CPU).
__device__ float SmallestAllowed(const float* logits, int64_t vocab, float largest,
                                 const SamplingRow& row, Select& shared) {
  const double temperature = row.temperature;
  float threshold = -INFINITY;
  if (row.min_p > 0.0f) {
    threshold = static_cast<float>(largest +
                                   temperature * log(static_cast<double>(fminf(row.min_p, 1.0f))));
  }
  if (row.top_k > 0 && row.top_k < vocab) {
    const uint32_t key = SelectKey(logits, vocab, row.top_k, shared, [](float) { return 1ull; });
    threshold = fmaxf(threshold, ValueOf(key));
    __syncthreads();
  }
  if (row.top_p < 1.0f) {
    const auto mass = [&](float logit) -> unsigned long long {
      if (logit < threshold) return 0ull;
      return static_cast<unsigned long long>(
          exp((static_cast<double>(logit) - largest) / temperature) * kMassUnit);
    };
    __shared__ unsigned long long total;
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    unsigned long long mine = 0;
    for (int64_t i = threadIdx.x; i < vocab; i += kThreads) mine += mass(logits[i]);
    atomicAdd(&total, mine);
    __syncthreads();
    const auto limit =
        static_cast<unsigned long long>(ceil(static_cast<double>(row.top_p) * total));
    threshold = fmaxf(threshold, ValueOf(SelectKey(logits, vocab, limit, shared, mass)));
  }
  return threshold;
}

// Block (p, row): the best of every gridDim.x-th run of 256 logits; a NaN beats everything.
__global__ void __launch_bounds__(kPartThreads) ArgmaxPartsKernel(Tensor logits, Best* parts) {
  BeginKernel();
  __shared__ Best shared[33];
  const float* row = static_cast<const float*>(logits.data) + blockIdx.y * logits.row_stride;
  Best best = {-INFINITY, INT32_MAX};
  for (int64_t i = blockIdx.x * kPartThreads + threadIdx.x; i < logits.cols;
       i += gridDim.x * kPartThreads) {
    const float value = row[i];
    const Best candidate = isnan(value) ? Best{INFINITY, -1} : Best{value, static_cast<int32_t>(i)};
    if (Better(candidate, best)) best = candidate;
  }
  best = BlockBest(best, shared);
  if (threadIdx.x == 0) parts[blockIdx.y * gridDim.x + blockIdx.x] = best;
}

// One warp per row.
__global__ void __launch_bounds__(32)
    ArgmaxMergeKernel(const Best* parts, int num_parts, int32_t* tokens) {
  BeginKernel();
  Best best = {-INFINITY, INT32_MAX};
  for (int i = threadIdx.x; i < num_parts; i += 32) {
    const Best candidate = parts[blockIdx.x * num_parts + i];
    if (Better(candidate, best)) best = candidate;
  }
  best = WarpBest(best);
  if (threadIdx.x == 0) tokens[blockIdx.x] = best.token;
}

__device__ double Noise(uint64_t bits) {
  const double u = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
  return -log(-log(u));
}

__device__ int32_t Draw(const float* logits, int64_t vocab, const SamplingRow& row, float threshold,
                        Best* shared) {
  const uint64_t state =
      MixBits(MixBits(row.seed + kGoldenGamma) + static_cast<uint64_t>(row.position));
  const double inverse_temperature = 1.0 / row.temperature;
  Best best = {-INFINITY, INT32_MAX};
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
    if (logits[i] < threshold) continue;
    const uint64_t bits = MixBits(state + static_cast<uint64_t>(i + 1) * kGoldenGamma);
    const double scaled = static_cast<double>(logits[i]) * inverse_temperature;
    // Noise above g needs about g / ln 2 leading ones in `bits`: most tokens need no logarithm.
    if (scaled + 0.694 * (__clzll(static_cast<long long>(~bits)) + 1) < best.score) continue;
    const Best candidate = {scaled + Noise(bits), static_cast<int32_t>(i)};
    if (Better(candidate, best)) best = candidate;
  }
  return BlockBest(best, shared).token;
}

__global__ void __launch_bounds__(kThreads)
    SampleKernel(Tensor logits, const SamplingRow* rows, int32_t* tokens) {
  BeginKernel();
  __shared__ Best shared[33];
  __shared__ Select select;
  const float* row = static_cast<const float*>(logits.data) + blockIdx.x * logits.row_stride;
  const SamplingRow how = rows[blockIdx.x];
  const Best best = Likeliest(row, logits.cols, shared);
  int32_t token = best.token;
  if (token >= 0 && how.temperature > 0.0f) {
    const float threshold =
        SmallestAllowed(row, logits.cols, static_cast<float>(best.score), how, select);
    token = Draw(row, logits.cols, how, threshold, shared);
  }
  if (threadIdx.x == 0) tokens[blockIdx.x] = token;
}

__global__ void MapDraftIdsKernel(const int32_t* offsets, int64_t count, int32_t* ids) {
  BeginKernel();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) ids[i] += offsets[ids[i]];
}

__global__ void VerifyDraftsKernel(const int32_t* inputs, const int32_t* tokens, RowBatch rows,
                                   int32_t* accepted) {
  BeginKernel();
  const int64_t s = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (s >= rows.num_sequences) return;
  int32_t count = 0;
  const int32_t end = rows.row_begin[s + 1];
  for (int32_t r = rows.row_begin[s]; r + 1 < end && inputs[r + 1] == tokens[r]; ++r) ++count;
  accepted[s] = count;
}

}  // namespace

int64_t ArgmaxScratchBytes(const Tensor& logits) {
  return logits.rows * kMaxParts * static_cast<int64_t>(sizeof(Best));
}

cudaError_t LaunchArgmax(const Tensor& logits, void* scratch, int32_t* tokens,
                         cudaStream_t stream) {
  const int64_t parts = std::min<int64_t>(kMaxParts, (logits.cols + kPartLogits - 1) / kPartLogits);
  const auto rows = static_cast<unsigned>(logits.rows);
  auto* best = static_cast<Best*>(scratch);
  const cudaError_t error =
      LaunchDependent(ArgmaxPartsKernel, dim3(static_cast<unsigned>(parts), rows), kPartThreads, 0,
                      stream, logits, best);
  if (error != cudaSuccess) return error;
  return LaunchDependent(ArgmaxMergeKernel, dim3(rows), 32, 0, stream, best,
                         static_cast<int>(parts), tokens);
}

cudaError_t LaunchSample(const Tensor& logits, const SamplingRow* rows, int32_t* tokens,
                         cudaStream_t stream) {
  return LaunchDependent(SampleKernel, static_cast<unsigned>(logits.rows), kThreads, 0, stream,
                         logits, rows, tokens);
}

cudaError_t LaunchMapDraftIds(const int32_t* offsets, int64_t count, int32_t* ids,
                              cudaStream_t stream) {
  if (offsets == nullptr || count == 0) return cudaSuccess;
  return LaunchDependent(MapDraftIdsKernel, static_cast<unsigned>((count + 127) / 128), 128, 0,
                         stream, offsets, count, ids);
}

cudaError_t LaunchVerifyDrafts(const int32_t* inputs, const int32_t* tokens, const RowBatch& rows,
                               int32_t* accepted, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>((rows.num_sequences + 127) / 128);
  return LaunchDependent(VerifyDraftsKernel, blocks, 128, 0, stream, inputs, tokens, rows,
                         accepted);
}

}  // namespace talon::cuda
