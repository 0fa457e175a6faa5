// NVFP4, the scalar definition that every faster path is tested against: blocks of 16 E2M1 codes
// under an E4M3 block scale and an FP32 scale per tensor, w = e2m1 * e4m3(block scale) * tensor
// scale. Everything is IEEE FP32 in the order written. Weights follow ModelOpt >= 0.45 with max
// calibration; activations follow docs/numerics.md section 2. Sources: specs/nvfp4.md 0.1, 1.3
// to 1.6, 6.1.
#pragma once

#include <cstdint>
#include <span>

namespace talon {

inline constexpr int64_t kNvfp4BlockSize = 16;
// The largest value under a tensor scale of 1: 6 * 448.
inline constexpr float kNvfp4Range = 2688.0f;

// How `amax / 2688` is formed: divided as a CPU does, or multiplied by float(1 / 2688) as PyTorch
// does on a GPU. The two differ in the last bit for a fifth of all values (specs/nvfp4.md 1.5).
enum class ScaleDivision : uint8_t { kIeee, kGpu };

// weight_scale_2 or input_scale for the largest magnitude `amax` (finite, >= 0) of a tensor or a
// group of tensors that share an input. Always above zero: an amax of 0, and one so small that the
// quotient would underflow, counts as 6.
float Nvfp4TensorScale(float amax, ScaleDivision division);

// E4M3 code of the scale of a weight block with largest magnitude `block_amax`: the ratio
// block_amax / (6 * tensor_scale), or 1 for a zero block, clamped to [2^-9, 448]. Never NaN.
uint8_t Nvfp4BlockScale(float block_amax, float tensor_scale);

// Codes of one block under its scale: byte j holds column 2j in its low nibble, 2j + 1 in its high
// one.
void EncodeNvfp4Block(const float* values /* [16] */, uint8_t block_scale, float tensor_scale,
                      uint8_t* packed /* [8] */);

// Quantizes consecutive BF16 weights, a multiple of 16 of them that does not cross a row.
void QuantizeNvfp4(std::span<const uint16_t> weights, float tensor_scale,
                   uint8_t* packed /* [n / 2] */, uint8_t* block_scales /* [n / 16] */);

// out[i] = e2m1 * (e4m3 * tensor_scale), in the order ModelOpt multiplies.
void DequantizeNvfp4(const uint8_t* packed /* [n / 2] */,
                     const uint8_t* block_scales /* [n / 16] */, float tensor_scale,
                     std::span<float> out);

// E4M3 code of an activation block's scale: (g * block_amax) / 6 with g = 1 / input_scale,
// saturating at 448. `input_scale` is above zero. 0 when the block is zero or vanishes beside the
// range.
uint8_t ActivationBlockScale(float block_amax, float input_scale);

// Quantizes one block of activations for W4A4: out[i] = e2m1((x[i] * g) / s) * s, exact in BF16; a
// GEMM multiplies its finished sum by input_scale * weight_scale_2. Zero when s is zero.
void QuantizeActivationBlock(const float* x /* [16] */, float input_scale, float* out /* [16] */);

}  // namespace talon
