// The yardstick of every benchmark line: how fast this card reads memory with nothing else to do.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace talon::cuda {

// Reads `bytes` (a multiple of 16) once; `sink` (4 bytes of device memory) keeps the loads alive.
cudaError_t LaunchStreamRead(const void* from, int64_t bytes, uint32_t* sink, int blocks,
                             cudaStream_t stream);

}  // namespace talon::cuda
