// CUDA errors as talon::Error.
#pragma once

#include <cuda_runtime_api.h>

#include "talon/base/error.h"

namespace talon::cuda {

inline void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  const ErrorCode code =
      error == cudaErrorMemoryAllocation ? ErrorCode::kResourceExhausted : ErrorCode::kInternal;
  Throw(code, "CUDA: {} failed: {} ({})", what, cudaGetErrorString(error), cudaGetErrorName(error));
}

}  // namespace talon::cuda
