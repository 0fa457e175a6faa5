// Half a warp per output: lane l takes k = 16 j + l of a leaf, then the lane tree, then the leaf
// tree.
#include "talon/backend/cuda/element.cuh"
#include "talon/backend/cuda/linear_f32.h"
#include "talon/backend/cuda/nvfp4_bits.h"

namespace talon::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kLanes = 16;

// Where a weight lies inside its chunk: the lane of the MMA that owns it, its register pair, its
// half.
struct Place {
  int lane;
  int pair;
  int half;
  int step;
};
__device__ Place PlaceOf(int64_t out, int k_in_chunk) {
  const int row = static_cast<int>(out % kTileRows);
  const int column = k_in_chunk % 16;
  return {row % 8 * 4 + column % 8 / 2, row / 8 + column / 8 * 2, column % 2, k_in_chunk / 16};
}

// 2^7 times smaller than the weight, as the tensor cores see it.
__device__ float Nvfp4Value(const uint8_t* chunk, const Place& at) {
  constexpr float kMagnitudes[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  const uint32_t word = reinterpret_cast<const uint32_t*>(chunk)[at.lane * 2 + at.step];
  int code = 0;
  for (int bit = 0; bit < 4; ++bit) {
    code |= static_cast<int>((word >> Nvfp4BitPosition(at.pair, at.half, bit)) & 1u) << bit;
  }
  uint32_t scales = reinterpret_cast<const uint32_t*>(chunk + 256)[at.lane / 4];
  if (at.step == 1) scales = (scales >> 8) | (scales << 24);
  const uint32_t stored = (at.pair % 2 == 0 ? scales : scales >> 16) & kScaleMask & 0xFFFFu;
  const float scale = Bf16Value(static_cast<uint16_t>(stored | (kScaleBias & 0xFFFFu)));
  const float magnitude = kMagnitudes[code & 7] * (scale * 0x1p-126f);
  return (code & 8) != 0 ? -magnitude : magnitude;
}

__device__ float WeightValue(const LinearF32Problem& p, int64_t out, int64_t k) {
  const int64_t chunks = static_cast<int64_t>(p.layout.num_leaves) * p.layout.leaf_chunks;
  const uint8_t* chunk =
      p.segment.weights + (out / kTileRows * chunks + k / kChunkK) * p.layout.chunk_bytes;
  const Place at = PlaceOf(out, static_cast<int>(k % kChunkK));
  if (p.format == LinearFormat::kNvfp4) return Nvfp4Value(chunk, at);
  const int index = at.pair * 2 + at.half;
  if (p.format == LinearFormat::kBF16) {
    return Bf16Value(reinterpret_cast<const uint16_t*>(chunk)[at.step * 256 + at.lane * 8 + index]);
  }
  return Fp8Value(chunk[at.lane * 16 + at.step * 8 + index]);
}

__device__ float LeafSum(const LinearF32Problem& p, int64_t row, int64_t out, int64_t begin,
                         int64_t end, int lane) {
  float sum = 0.0f;
  for (int64_t k = begin + lane; k < end; k += kLanes) {
    sum = __fmaf_rn(Load(p.x, row, k), WeightValue(p, out, k), sum);
  }
  for (const int step : {8, 4, 2, 1}) {
    sum = __fadd_rn(sum, __shfl_xor_sync(0xFFFFFFFFu, sum, step, kLanes));
  }
  return sum;
}

__global__ void LinearF32Kernel(LinearF32Problem p) {
  const int lane = threadIdx.x % kLanes;
  const int64_t row = blockIdx.y;
  const int64_t wanted =
      blockIdx.x * static_cast<int64_t>(kThreads / kLanes) + threadIdx.x / kLanes;
  const int64_t out = min(wanted, p.layout.out_features - 1);  // whole warps take part in shuffles
  const int64_t length = p.layout.in_features / p.layout.num_leaves;
  float leaves[8] = {};
  for (int leaf = 0; leaf < p.layout.num_leaves; ++leaf) {
    leaves[leaf] = LeafSum(p, row, out, leaf * length, (leaf + 1) * length, lane);
  }
  for (int step = 1; step < p.layout.num_leaves; step *= 2) {
    for (int leaf = 0; leaf < p.layout.num_leaves; leaf += 2 * step) {
      leaves[leaf] = __fadd_rn(leaves[leaf], leaves[leaf + step]);
    }
  }
  if (lane != 0 || wanted != out) return;
  float value = __fmul_rn(leaves[0], p.segment.sum_scale);
  if (p.segment.row_scales != nullptr) value = __fmul_rn(value, p.segment.row_scales[out]);
  StoreElement(p.segment.out, p.segment.out_is_f32 ? DType::kF32 : DType::kBF16,
               row * p.segment.out_stride + out, value);
}

}  // namespace

cudaError_t LaunchLinearF32(const LinearF32Problem& problem, cudaStream_t stream) {
  constexpr int64_t kOutputs = kThreads / kLanes;
  const dim3 grid(static_cast<unsigned>((problem.layout.out_features + kOutputs - 1) / kOutputs),
                  static_cast<unsigned>(problem.x.rows));
  LinearF32Kernel<<<grid, kThreads, 0, stream>>>(problem);
  return cudaGetLastError();
}

}  // namespace talon::cuda
