// The K order of docs/numerics.md on NVIDIA devices in its plainest form, to compare bits with: one
// warp per 16 outputs x 8 rows, operands straight from row-major memory, leaves one after another.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace talon::cuda {

enum class KOrderMutant {
  kNone,
  kOneLeaf,     // all of K in one chain
  kLinearTree,  // leaf sums added left to right
};

// out [rows, outs] F32 = factor * sum; w BF16 [outs, k], x BF16 [rows, k]; k a multiple of 16.
cudaError_t LaunchMmaReference(const uint16_t* w, const uint16_t* x, float* out, int outs, int rows,
                               int k, int leaves, float factor, KOrderMutant mutant);

}  // namespace talon::cuda
