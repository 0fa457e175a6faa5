// Reads and checks the scale tensors of quantized linears.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "talon/checkpoint/safetensors.h"

namespace talon {

// Throws kDataLoss unless dtype and shape are as expected.
void CheckTensor(const TensorView& tensor, DType dtype, const std::vector<int64_t>& shape);

// The value of a one-element F32 tensor of shape [] or [1], which must be finite and at least zero.
float ReadScalarScale(const TensorView& tensor);
// 1 / value in F32, which must be finite: compressed-tensors' global scales.
float ReadReciprocalScale(const TensorView& tensor);
// The value of a scalar that must be above zero: activation scales.
float ReadPositiveScale(const TensorView& tensor);

// FP8's scale per output channel: F32 or BF16, shape [out] or [out, 1]; finite and at least zero.
std::shared_ptr<const std::vector<float>> ReadRowScales(const TensorView& tensor,
                                                        int64_t out_features);

// NVFP4 block scales: F8_E4M3 [out, in / 16], none NaN, none negative. Throws kDataLoss naming the
// first bad element, or kUnsupported for the scales of other formats.
void CheckBlockScales(const TensorView& tensor, int64_t out_features, int64_t in_features);

}  // namespace talon
