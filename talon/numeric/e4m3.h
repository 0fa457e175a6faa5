// E4M3 (float8_e4m3fn): 1 sign, 4 exponent (bias 7) and 3 mantissa bits; largest value 448 (0x7E),
// smallest normal 2^-6, smallest subnormal 2^-9; 0x7F and 0xFF are NaN; no infinities. Source:
// specs/nvfp4.md 1.2.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace talon {

inline constexpr float kE4m3Max = 448.0f;
inline constexpr float kE4m3Smallest = 0x1p-9f;  // the smallest value above zero

// Round to nearest, ties to even; magnitudes beyond 448, infinity too, saturate to 448. Only NaN
// gives NaN.
constexpr uint8_t EncodeE4m3(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint8_t>((bits >> 24) & 0x80u);
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return sign | 0x7F;
  if (magnitude >= std::bit_cast<uint32_t>(kE4m3Max)) return sign | 0x7E;
  if (magnitude < std::bit_cast<uint32_t>(0x1p-6f)) {
    // FP32 values near 2^14 lie 2^-9 apart, so the sum rounds to a multiple of the smallest
    // subnormal.
    const float rounded = std::bit_cast<float>(magnitude) + 0x1p14f;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(rounded) & 0xFFu));
  }
  const uint32_t odd = (magnitude >> 20) & 1u;
  const uint32_t rebias = (127u - 7u) << 23;
  return static_cast<uint8_t>(sign | ((magnitude - rebias + 0x7FFFFu + odd) >> 20));
}

namespace internal {

constexpr float ComputeE4m3(uint8_t code) {
  const int exponent = (code >> 3) & 0xF;
  const int mantissa = code & 7;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  float magnitude = static_cast<float>(mantissa) * kE4m3Smallest;
  if (exponent > 0) {
    const auto power = std::bit_cast<float>(static_cast<uint32_t>(exponent - 7 + 127) << 23);
    magnitude = (1.0f + static_cast<float>(mantissa) / 8.0f) * power;
  }
  return (code & 0x80) != 0 ? -magnitude : magnitude;
}

constexpr std::array<float, 256> MakeE4m3Values() {
  std::array<float, 256> values{};
  for (int code = 0; code < 256; ++code) {
    values[static_cast<size_t>(code)] = ComputeE4m3(static_cast<uint8_t>(code));
  }
  return values;
}

}  // namespace internal

// The value of every code.
inline constexpr std::array<float, 256> kE4m3Values = internal::MakeE4m3Values();

constexpr float DecodeE4m3(uint8_t code) { return kE4m3Values[code]; }

constexpr bool IsNanE4m3(uint8_t code) { return (code & 0x7F) == 0x7F; }

}  // namespace talon
