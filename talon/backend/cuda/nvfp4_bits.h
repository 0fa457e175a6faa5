// The bit layout of eight E2M1 codes in a 32-bit word, chosen so that nine logic instructions turn
// the word into four BF16 pairs, and the eight-bit form of a block scale.
//
// A BF16 number with the code's sign in bit 15 and its three magnitude bits in bits 8..6 is the
// E2M1 value times 2^-126 (the code's subnormal becomes a BF16 subnormal). Pair 0 lies in the word
// as it is; pair 1 after a shift left by 4, pair 2 after a rotation left by 10; pair 3 takes bits
// 6, 7 and 15 from a shift left by 6 and bit 8 from a shift right by 2. The low half of a pair is
// the even column.
//
// Scales are stored as eeeee mmm, the BF16 exponent less 224: E4M3 without subnormals. Scale times
// 2^119 times value times 2^-126 is the weight times 2^-7, exactly; kNvfp4SumScale undoes the 2^-7.
// A word holds the scales of rows g (low half) and g + 8 of two k16 steps: step 0 where BF16 has
// them, step 1 after a rotation right by 8.
#pragma once

#include <cstdint>

namespace talon::cuda {

#ifdef __CUDACC__
#define TALON_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define TALON_HOST_DEVICE inline
#endif

inline constexpr uint32_t kPairMask = 0x81C081C0u;
inline constexpr uint32_t kPair3LeftMask = 0x80C080C0u;
inline constexpr uint32_t kPair3RightMask = 0x01000100u;
inline constexpr uint32_t kScaleMask = 0x0FF00FF0u;
inline constexpr uint32_t kScaleBias = 0x70007000u;
inline constexpr float kNvfp4SumScale = 128.0f;

// Where bit `bit` (0..2 magnitude, 3 sign) of half `half` of pair `pair` lies in the word.
TALON_HOST_DEVICE int Nvfp4BitPosition(int pair, int half, int bit) {
  const int target = (bit == 3 ? 15 : 6 + bit) + 16 * half;
  if (pair == 0) return target;
  if (pair == 1) return target - 4;
  if (pair == 2) return (target + 22) & 31;
  return bit == 2 ? target + 2 : target - 6;
}

// Packs codes[2 * pair + half].
TALON_HOST_DEVICE uint32_t PackNvfp4Word(const uint8_t (&codes)[8]) {
  uint32_t word = 0;
  for (int i = 0; i < 8; ++i) {
    for (int bit = 0; bit < 4; ++bit) {
      const uint32_t value = (codes[i] >> bit) & 1u;
      word |= value << Nvfp4BitPosition(i / 2, i % 2, bit);
    }
  }
  return word;
}

// The stored form of a positive, finite E4M3 code.
TALON_HOST_DEVICE uint32_t PackNvfp4Scale(uint32_t e4m3) {
  const uint32_t mantissa = e4m3 & 7u;
  if ((e4m3 & 0x78u) != 0) return e4m3 + 120u;
  if (mantissa >= 4) return (15u << 3) | ((mantissa - 4u) << 1);
  if (mantissa >= 2) return (14u << 3) | ((mantissa - 2u) << 2);
  return 13u << 3;
}

// scales[step][0: row g, 1: row g + 8], in stored form.
TALON_HOST_DEVICE uint32_t PackNvfp4Scales(const uint32_t (&scales)[2][2]) {
  return (scales[0][0] << 4) | (scales[0][1] << 20) | (scales[1][0] << 12) | (scales[1][1] << 28) |
         (scales[1][1] >> 4);
}

#undef TALON_HOST_DEVICE

}  // namespace talon::cuda
