// Weights of 32 consecutive k as 32 BF16 in one register. Only for files built for AVX-512 with
// VBMI.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstdint>

#include "talon/backend/cpu/product_table.h"
#include "talon/backend/tensor.h"
#include "talon/numeric/bf16.h"
#include "talon/numeric/e4m3.h"

namespace talon::cpu::avx512 {

// E2M1 pairs and block scales.
class Nvfp4Decoder {
 public:
  static constexpr bool kInPlace = false;

  // Columns [index, index + 32) of the flattened weights.
  __m512i Decode32(const LinearWeight& weight, int64_t index) const {
    return Decode32(static_cast<const uint8_t*>(weight.data) + index / 2,
                    weight.block_scales + index / 16);
  }

  __m512i Decode32(const uint8_t* codes /* [16] */, const uint8_t* scales /* [2] */) const {
    // A word of 4 codes per quadword, then each code to the low bits of its own word.
    const __m512i words =
        _mm512_cvtepu16_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
    const __m512i spread = _mm512_multishift_epi64_epi8(shifts_, words);
    // The second block's codes look into the upper half of the table: (spread & 15) | 16.
    const __m512i index = _mm512_ternarylogic_epi32(spread, nibble_, second_, 0xEA);
    const __m512i table =
        _mm512_inserti64x4(_mm512_castsi256_si512(Block(scales[0])), Block(scales[1]), 1);
    return _mm512_permutexvar_epi16(index, table);
  }

 private:
  __m256i Block(uint8_t scale) const {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(products_.bits[scale].data()));
  }

  const Nvfp4ProductTable& products_ = Nvfp4Products();
  __m512i shifts_ = _mm512_set1_epi64(0x000C000800040000);
  __m512i nibble_ = _mm512_set1_epi16(0xF);
  __m512i second_ = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(16), 1);
};

// E4M3 codes.
class F8Decoder {
 public:
  static constexpr bool kInPlace = false;

  F8Decoder() {
    alignas(64) std::array<uint8_t, 128> low;
    alignas(64) std::array<uint8_t, 128> high;
    alignas(64) std::array<uint8_t, 64> order;
    for (size_t code = 0; code < 128; ++code) {
      const uint16_t bits = FloatToBf16(DecodeE4m3(static_cast<uint8_t>(code)));
      low[code] = static_cast<uint8_t>(bits & 0xFF);
      high[code] = static_cast<uint8_t>(bits >> 8);
    }
    for (size_t i = 0; i < 32; ++i) {
      order[2 * i] = static_cast<uint8_t>(i);
      order[2 * i + 1] = static_cast<uint8_t>(64 + i);
    }
    for (size_t half = 0; half < 2; ++half) {
      low_[half] = _mm512_load_si512(low.data() + 64 * half);
      high_[half] = _mm512_load_si512(high.data() + 64 * half);
    }
    interleave_ = _mm512_load_si512(order.data());
  }

  // Columns [index, index + 32) of the flattened weights.
  __m512i Decode32(const LinearWeight& weight, int64_t index) const {
    const auto* codes = static_cast<const uint8_t*>(weight.data) + index;
    const __m512i code =
        _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
    // The lookups ignore bit 7, the sign, which then goes to the high byte: high | (code & 0x80).
    const __m512i low = _mm512_permutex2var_epi8(low_[0], code, low_[1]);
    const __m512i magnitude = _mm512_permutex2var_epi8(high_[0], code, high_[1]);
    const __m512i high = _mm512_ternarylogic_epi32(code, sign_, magnitude, 0xEA);
    return _mm512_permutex2var_epi8(low, interleave_, high);
  }

 private:
  __m512i low_[2];
  __m512i high_[2];
  __m512i interleave_;
  __m512i sign_ = _mm512_set1_epi8(static_cast<char>(0x80));
};

}  // namespace talon::cpu::avx512
