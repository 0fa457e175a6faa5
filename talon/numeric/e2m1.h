// E2M1 (FP4): bit 3 is the sign, bits 2..0 index the magnitudes 0, 0.5, 1, 1.5, 2, 3, 4, 6.
// Encoding follows ModelOpt. Source: specs/nvfp4.md 1.1.
#pragma once

#include <array>
#include <cstdint>

namespace talon {

inline constexpr float kE2m1Max = 6.0f;

// The value of every code.
inline constexpr std::array<float, 16> kE2m1Values = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,
                                                      4.0f,  6.0f,  -0.0f, -0.5f, -1.0f, -1.5f,
                                                      -2.0f, -3.0f, -4.0f, -6.0f};

constexpr float DecodeE2m1(uint8_t code) { return kE2m1Values[code & 0xF]; }

// Round to nearest, ties to the even code; beyond 5 to 6. The sign bit is (value < 0), so -0.0
// gives code 0 and a negative value that rounds to zero gives code 8. NaN gives code 7.
constexpr uint8_t EncodeE2m1(float value) {
  const float a = value < 0.0f ? -value : value;
  // Negated comparisons, so that a NaN counts as above every threshold.
  const int index = static_cast<int>(!(a <= 0.25f)) + static_cast<int>(!(a < 0.75f)) +
                    static_cast<int>(!(a <= 1.25f)) + static_cast<int>(!(a < 1.75f)) +
                    static_cast<int>(!(a <= 2.5f)) + static_cast<int>(!(a < 3.5f)) +
                    static_cast<int>(!(a <= 5.0f));
  return static_cast<uint8_t>(index | (value < 0.0f ? 8 : 0));
}

}  // namespace talon
