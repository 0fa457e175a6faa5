// Random contents for benchmarks and tests, made on the device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace talon::cuda {

// Bytes uniform in [low, high].
cudaError_t LaunchFillBytes(uint8_t* to, int64_t count, uint32_t low, uint32_t high, uint64_t seed,
                            cudaStream_t stream);
// BF16, roughly normal (the sum of four uniforms) with the given standard deviation.
cudaError_t LaunchFillBf16(void* to, int64_t count, float deviation, uint64_t seed,
                           cudaStream_t stream);

}  // namespace talon::cuda
