// y = x W^T in the order of docs/numerics.md for F32 inputs, which equals the CPU's bit for bit.
// The float32 mode is for checking, so this is plain; BF16 inputs come here where a fast kernel
// failed the start-up check.
#pragma once

#include <cuda_runtime_api.h>

#include "talon/backend/cuda/few_rows.h"
#include "talon/backend/tensor.h"

namespace talon::cuda {

struct LinearF32Problem {
  LinearFormat format = LinearFormat::kBF16;
  LinearLayout layout;
  LinearSegment segment;
  Tensor x;  // F32 or BF16 [rows, in]
};

cudaError_t LaunchLinearF32(const LinearF32Problem& problem, cudaStream_t stream);

}  // namespace talon::cuda
