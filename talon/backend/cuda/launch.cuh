// Launches that may start before the kernel before them has finished. Every kernel launched so
// begins with BeginKernel(), in every thread: it lets the next kernel's blocks in as soon as there
// is room and waits until what came before is complete and visible.
#pragma once

#include <cuda_runtime.h>

#include <utility>

#include "talon/backend/cuda/ptx.cuh"

namespace talon::cuda {

__device__ __forceinline__ void BeginKernel() {
  AllowNextKernel();
  WaitForPreviousKernel();
}

template <class... Params, class... Args>
cudaError_t LaunchDependent(void (*kernel)(Params...), dim3 grid, int threads, size_t shared_bytes,
                            cudaStream_t stream, Args&&... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Args>(args)...);
}

}  // namespace talon::cuda
