#include "talon/backend/cuda/ptx.cuh"
#include "tests/cuda/mma_reference.h"

namespace talon::cuda {
namespace {

__device__ uint32_t PairAt(const uint16_t* matrix, int rows, int k, int row, int column) {
  if (row >= rows) return 0;
  const uint16_t* at = matrix + static_cast<int64_t>(row) * k + column;
  return at[0] | (static_cast<uint32_t>(at[1]) << 16);
}

__global__ void MmaReference(const uint16_t* w, const uint16_t* x, float* out, int outs, int rows,
                             int k, int leaves, float factor, KOrderMutant mutant) {
  const int g = threadIdx.x / 4;
  const int t = threadIdx.x % 4 * 2;
  const int out0 = blockIdx.x * 16;
  const int row0 = blockIdx.y * 8;
  float leaf_sums[8][4] = {};
  for (int leaf = 0; leaf < leaves; ++leaf) {
    float d[4] = {};
    for (int c = k / leaves * leaf; c < k / leaves * (leaf + 1); c += 16) {
      const uint32_t a[4] = {
          PairAt(w, outs, k, out0 + g, c + t), PairAt(w, outs, k, out0 + g + 8, c + t),
          PairAt(w, outs, k, out0 + g, c + t + 8), PairAt(w, outs, k, out0 + g + 8, c + t + 8)};
      MmaBf16(d, a, PairAt(x, rows, k, row0 + g, c + t), PairAt(x, rows, k, row0 + g, c + t + 8));
    }
    for (int i = 0; i < 4; ++i) leaf_sums[leaf][i] = d[i];
  }
  for (int i = 0; i < 4; ++i) {
    if (mutant == KOrderMutant::kLinearTree) {
      for (int leaf = 1; leaf < leaves; ++leaf) leaf_sums[0][i] += leaf_sums[leaf][i];
    } else {
      for (int step = 1; step < leaves; step *= 2) {
        for (int leaf = 0; leaf < leaves; leaf += 2 * step) {
          leaf_sums[leaf][i] = __fadd_rn(leaf_sums[leaf][i], leaf_sums[leaf + step][i]);
        }
      }
    }
    const int out_index = out0 + g + i / 2 * 8;
    const int row = row0 + t + i % 2;
    if (out_index < outs && row < rows) {
      out[static_cast<int64_t>(row) * outs + out_index] = __fmul_rn(leaf_sums[0][i], factor);
    }
  }
}

}  // namespace

cudaError_t LaunchMmaReference(const uint16_t* w, const uint16_t* x, float* out, int outs, int rows,
                               int k, int leaves, float factor, KOrderMutant mutant) {
  if (mutant == KOrderMutant::kOneLeaf) leaves = 1;
  MmaReference<<<dim3((outs + 15) / 16, (rows + 7) / 8), 32>>>(w, x, out, outs, rows, k, leaves,
                                                               factor, mutant);
  return cudaGetLastError();
}

}  // namespace talon::cuda
