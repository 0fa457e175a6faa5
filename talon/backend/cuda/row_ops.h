// Ops that work on rows one by one; definitions in talon/backend/backend.h, rounding points in
// docs/numerics.md. Pointers are device memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "talon/backend/backend.h"

namespace talon::cuda {

struct NormParams {
  const float* gain = nullptr;  // [cols] or null
  float eps = 1e-6f;
  Tensor out;  // [rows, cols]
};

cudaError_t LaunchEmbed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out,
                        cudaStream_t stream);
cudaError_t LaunchRmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out,
                          cudaStream_t stream);
cudaError_t LaunchNormAdd(const NormAddParams& params, cudaStream_t stream);
// NormAdd and then a norm of the residual stream, with the bits of the two on their own.
cudaError_t LaunchNormAddNorm(const NormAddParams& params, const NormParams& norm,
                              cudaStream_t stream);
cudaError_t LaunchAdd(const Tensor& a, const Tensor& b, const Tensor& out, cudaStream_t stream);
cudaError_t LaunchCopy(const Tensor& from, const Tensor& to, cudaStream_t stream);
cudaError_t LaunchGatherRows(const Tensor& x, const int32_t* indices, const Tensor& out,
                             cudaStream_t stream);
cudaError_t LaunchRopeTable(const int32_t* positions, const float* inv_freq, DType round_to,
                            const Tensor& table, cudaStream_t stream);
cudaError_t LaunchGatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                                  const Tensor& out, cudaStream_t stream);
cudaError_t LaunchSoftcap(float cap, const Tensor& logits, cudaStream_t stream);
// W4A4 inputs: out [rows, cols] BF16 = e2m1 * e4m3 of each block of 16 (specs/nvfp4.md 6.1).
cudaError_t LaunchQuantizeActivations(const Tensor& x, float input_scale, const Tensor& out,
                                      cudaStream_t stream);

}  // namespace talon::cuda
