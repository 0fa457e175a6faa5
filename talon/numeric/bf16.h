// BF16: the upper half of an FP32 value. Values are held as their 16 bits.
#pragma once

#include <bit>
#include <cstdint>

namespace talon {

constexpr float Bf16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Round to nearest, ties to even; beyond the largest finite value to infinity; a NaN stays a
// (quiet) NaN.
constexpr uint16_t FloatToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  const uint32_t odd = (bits >> 16) & 1u;
  return static_cast<uint16_t>((bits + 0x7FFFu + odd) >> 16);
}

// The `rb` of docs/numerics.md.
constexpr float RoundToBf16(float value) { return Bf16ToFloat(FloatToBf16(value)); }

}  // namespace talon
