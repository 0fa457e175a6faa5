// Weights from file order to linear_layout.h, on the device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "talon/backend/cuda/linear_layout.h"

namespace talon::cuda {

struct RepackSource {
  LinearFormat format = LinearFormat::kBF16;
  const void* data = nullptr;             // HostLinear::data's bytes, in device memory
  const uint8_t* block_scales = nullptr;  // [out, in / 16]; NVFP4 only
};

// Writes layout.SizeBytes() bytes to `to`. A scale or FP8 weight that is NaN sets *nan_found
// (device memory, cleared by the caller) to 1. A negative block scale flips the signs of its block,
// a zero one clears it: both exact.
cudaError_t LaunchRepack(const RepackSource& source, const LinearLayout& layout, uint8_t* to,
                         uint32_t* nan_found, cudaStream_t stream);

}  // namespace talon::cuda
