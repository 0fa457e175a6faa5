// Four weight rows of any format as BF16, 32 consecutive k to a register. Only for files built for
// AVX-512 with VBMI.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "talon/backend/cpu/product_table.h"
#include "talon/backend/tensor.h"
#include "talon/numeric/bf16.h"
#include "talon/numeric/e4m3.h"

namespace talon::cpu::avx512 {

// Four output features, in turn `row m` of the classes below.
using Features = std::array<int64_t, 4>;

// Each class reads steps of 32 columns of four rows, counted from `begin`. Prefetch() fetches what
// lies at the same place `ahead_rows` rows further down (0: nothing new).

class Bf16Rows {
 public:
  static constexpr int64_t kStepsPerLine = 1;
  static constexpr bool kHalves = false;

  Bf16Rows() = default;
  Bf16Rows(const LinearWeight& weight, const Features& features, int64_t begin, int64_t ahead_rows)
      : ahead_bytes_(ahead_rows * weight.in_features * 2) {
    for (size_t m = 0; m < 4; ++m) {
      rows_[m] = static_cast<const uint8_t*>(weight.data) +
                 2 * (features[m] * weight.in_features + begin * 32);
    }
  }
  // Four rows `stride` elements apart.
  Bf16Rows(const uint16_t* rows, int64_t stride) {
    for (size_t m = 0; m < 4; ++m) {
      rows_[m] = reinterpret_cast<const uint8_t*>(rows + static_cast<int64_t>(m) * stride);
    }
  }

  __m512i Load(size_t m, int64_t step) const { return _mm512_loadu_si512(rows_[m] + 64 * step); }
  void Prefetch(size_t m, int64_t step) const {
    _mm_prefetch(rows_[m] + 64 * step + ahead_bytes_, _MM_HINT_T1);
  }

 private:
  std::array<const uint8_t*, 4> rows_{};
  int64_t ahead_bytes_ = 0;
};

// A block of 16 E2M1 codes is one shuffle whose table is the row of products of the block's scale.
class Nvfp4Rows {
 public:
  static constexpr int64_t kStepsPerLine = 4;
  static constexpr bool kHalves = true;

  Nvfp4Rows(const LinearWeight& weight, const Features& features, int64_t begin, int64_t ahead_rows)
      : ahead_bytes_(ahead_rows * weight.in_features / 2),
        scales_ahead_bytes_(ahead_rows * weight.in_features / 16) {
    for (size_t m = 0; m < 4; ++m) {
      const int64_t index = features[m] * weight.in_features + begin * 32;
      codes_[m] = static_cast<const uint8_t*>(weight.data) + index / 2;
      scales_[m] = weight.block_scales + index / 16;
    }
  }

  __m512i Load(size_t m, int64_t step) const {
    return _mm512_inserti64x4(_mm512_castsi256_si512(LoadHalf(m, 2 * step)),
                              LoadHalf(m, 2 * step + 1), 1);
  }
  // Block `half` of 16 columns.
  __m256i LoadHalf(size_t m, int64_t half) const {
    int64_t codes;
    std::memcpy(&codes, codes_[m] + 8 * half, sizeof(codes));
    // Each word gets its code in the low 4 bits, all that a shuffle of 16 words looks at.
    const __m256i index = _mm256_multishift_epi64_epi8(offsets_, _mm256_set1_epi64x(codes));
    const auto* table = reinterpret_cast<const __m256i*>(products_->bits[scales_[m][half]].data());
    return _mm256_permutexvar_epi16(index, _mm256_load_si256(table));
  }
  void Prefetch(size_t m, int64_t step) const {
    _mm_prefetch(codes_[m] + 16 * step + ahead_bytes_, _MM_HINT_T1);
    _mm_prefetch(scales_[m] + 2 * step + scales_ahead_bytes_, _MM_HINT_T1);
  }

 private:
  std::array<const uint8_t*, 4> codes_;
  std::array<const uint8_t*, 4> scales_;
  int64_t ahead_bytes_;
  int64_t scales_ahead_bytes_;
  const Nvfp4ProductTable* products_ = &Nvfp4Products();
  // Bit offset of code i of a quadword of 16 codes, for the low byte of word i.
  __m256i offsets_ = _mm256_setr_epi64x(0x000C000800040000, 0x001C001800140010, 0x002C002800240020,
                                        0x003C003800340030);
};

// The bytes of the BF16 values of the 128 E4M3 codes without sign.
struct F8Tables {
  alignas(64) std::array<uint8_t, 128> low;
  alignas(64) std::array<uint8_t, 128> high;
  alignas(64) std::array<uint8_t, 64> interleave;  // low byte i, high byte i
};

constexpr F8Tables MakeF8Tables() {
  F8Tables tables{};
  for (size_t code = 0; code < 128; ++code) {
    const uint16_t bits = FloatToBf16(DecodeE4m3(static_cast<uint8_t>(code)));
    tables.low[code] = static_cast<uint8_t>(bits & 0xFF);
    tables.high[code] = static_cast<uint8_t>(bits >> 8);
  }
  for (size_t i = 0; i < 32; ++i) {
    tables.interleave[2 * i] = static_cast<uint8_t>(i);
    tables.interleave[2 * i + 1] = static_cast<uint8_t>(64 + i);
  }
  return tables;
}

inline constexpr F8Tables kF8Tables = MakeF8Tables();

class F8Rows {
 public:
  static constexpr int64_t kStepsPerLine = 2;
  static constexpr bool kHalves = false;

  F8Rows(const LinearWeight& weight, const Features& features, int64_t begin, int64_t ahead_rows)
      : ahead_bytes_(ahead_rows * weight.in_features) {
    for (size_t m = 0; m < 4; ++m) {
      rows_[m] =
          static_cast<const uint8_t*>(weight.data) + features[m] * weight.in_features + begin * 32;
    }
  }

  __m512i Load(size_t m, int64_t step) const {
    const __m512i code = _mm512_castsi256_si512(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows_[m] + 32 * step)));
    // The lookups ignore bit 7, the sign, which then goes to the high byte: high | (code & 0x80).
    const __m512i low = _mm512_permutex2var_epi8(low_[0], code, low_[1]);
    const __m512i magnitude = _mm512_permutex2var_epi8(high_[0], code, high_[1]);
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(0x80));
    const __m512i high = _mm512_ternarylogic_epi32(code, sign, magnitude, 0xEA);
    return _mm512_permutex2var_epi8(low, interleave_, high);
  }
  void Prefetch(size_t m, int64_t step) const {
    _mm_prefetch(rows_[m] + 32 * step + ahead_bytes_, _MM_HINT_T1);
  }

 private:
  std::array<const uint8_t*, 4> rows_;
  int64_t ahead_bytes_;
  __m512i low_[2] = {_mm512_load_si512(kF8Tables.low.data()),
                     _mm512_load_si512(kF8Tables.low.data() + 64)};
  __m512i high_[2] = {_mm512_load_si512(kF8Tables.high.data()),
                      _mm512_load_si512(kF8Tables.high.data() + 64)};
  __m512i interleave_ = _mm512_load_si512(kF8Tables.interleave.data());
};

}  // namespace talon::cpu::avx512
