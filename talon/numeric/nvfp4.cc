#include "talon/numeric/nvfp4.h"

#include <algorithm>
#include <cmath>

#include "talon/numeric/bf16.h"
#include "talon/numeric/e2m1.h"
#include "talon/numeric/e4m3.h"

namespace talon {
namespace {

float BlockAmax(const float* values) {
  float amax = 0.0f;
  for (int64_t i = 0; i < kNvfp4BlockSize; ++i) amax = std::max(amax, std::abs(values[i]));
  return amax;
}

float DivideByRange(float amax, ScaleDivision division) {
  constexpr float kReciprocal = 1.0f / kNvfp4Range;
  return division == ScaleDivision::kGpu ? amax * kReciprocal : amax / kNvfp4Range;
}

}  // namespace

float Nvfp4TensorScale(float amax, ScaleDivision division) {
  const float scale = DivideByRange(amax, division);
  return scale > 0.0f ? scale : DivideByRange(kE2m1Max, division);
}

uint8_t Nvfp4BlockScale(float block_amax, float tensor_scale) {
  float ratio = block_amax / (kE2m1Max * tensor_scale);
  if (ratio == 0.0f) ratio = 1.0f;
  if (!(ratio >= kE4m3Smallest)) ratio = kE4m3Smallest;
  return EncodeE4m3(std::min(ratio, kE4m3Max));
}

void EncodeNvfp4Block(const float* values, uint8_t block_scale, float tensor_scale,
                      uint8_t* packed) {
  const float divisor = DecodeE4m3(block_scale) * tensor_scale;
  for (int64_t j = 0; j < kNvfp4BlockSize / 2; ++j) {
    const uint8_t low = EncodeE2m1(values[2 * j] / divisor);
    const uint8_t high = EncodeE2m1(values[2 * j + 1] / divisor);
    packed[j] = static_cast<uint8_t>(low | (high << 4));
  }
}

void QuantizeNvfp4(std::span<const uint16_t> weights, float tensor_scale, uint8_t* packed,
                   uint8_t* block_scales) {
  const int64_t num_blocks = static_cast<int64_t>(weights.size()) / kNvfp4BlockSize;
  for (int64_t block = 0; block < num_blocks; ++block) {
    float values[kNvfp4BlockSize];
    for (int64_t i = 0; i < kNvfp4BlockSize; ++i) {
      values[i] = Bf16ToFloat(weights[static_cast<size_t>(block * kNvfp4BlockSize + i)]);
    }
    block_scales[block] = Nvfp4BlockScale(BlockAmax(values), tensor_scale);
    EncodeNvfp4Block(values, block_scales[block], tensor_scale,
                     packed + block * (kNvfp4BlockSize / 2));
  }
}

void DequantizeNvfp4(const uint8_t* packed, const uint8_t* block_scales, float tensor_scale,
                     std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const uint8_t byte = packed[i / 2];
    const uint8_t code = i % 2 == 0 ? byte & 0xF : byte >> 4;
    const float scale = DecodeE4m3(block_scales[i / kNvfp4BlockSize]) * tensor_scale;
    out[i] = DecodeE2m1(code) * scale;
  }
}

uint8_t ActivationBlockScale(float block_amax, float input_scale) {
  const float inverse = 1.0f / input_scale;
  return EncodeE4m3(std::min(inverse * block_amax / kE2m1Max, kE4m3Max));
}

void QuantizeActivationBlock(const float* x, float input_scale, float* out) {
  const float inverse = 1.0f / input_scale;
  const float scale = DecodeE4m3(ActivationBlockScale(BlockAmax(x), input_scale));
  for (int64_t i = 0; i < kNvfp4BlockSize; ++i) {
    const float scaled = scale == 0.0f ? 0.0f : x[i] * inverse / scale;
    out[i] = DecodeE2m1(EncodeE2m1(scaled)) * scale;
  }
}

}  // namespace talon
