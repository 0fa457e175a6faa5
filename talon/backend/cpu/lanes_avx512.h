// Lane sums of several accumulators at once, and rounding to BF16. Only for files built for
// AVX-512.
#pragma once

#include <immintrin.h>

namespace talon::cpu::avx512 {

// Each of the four steps halves the lanes of two registers (l + (l + n / 2), the order of LaneTree)
// and packs both into one.
inline __m512 Halve16(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
}
inline __m512 Halve8(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
}
inline __m512 Halve4(__m512 a, __m512 b) {
  const __m512d da = _mm512_castps_pd(a);
  const __m512d db = _mm512_castps_pd(b);
  return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(da, db)),
                       _mm512_castpd_ps(_mm512_unpackhi_pd(da, db)));
}
inline __m512 Halve2(__m512 a, __m512 b) {
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xDD));
}

// Four accumulators to 4 partial sums each; accumulator q in lanes 4q .. 4q + 3.
inline __m512 QuarterSums(const __m512* accumulators /* [4] */) {
  return Halve8(Halve16(accumulators[0], accumulators[1]),
                Halve16(accumulators[2], accumulators[3]));
}

// LaneTree of 4 N accumulators. The sum of accumulator 4 n + m lies in lane 4 m + n.
template <int N>
__m512 LaneSums(const __m512* accumulators /* [4 * N] */) {
  static_assert(N == 1 || N == 2 || N == 4);
  const __m512 q0 = QuarterSums(accumulators);
  if constexpr (N == 1) {
    const __m512 halves = Halve4(q0, q0);
    return Halve2(halves, halves);
  } else {
    const __m512 low = Halve4(q0, QuarterSums(accumulators + 4));
    if constexpr (N == 2) {
      return Halve2(low, low);
    } else {
      return Halve2(low, Halve4(QuarterSums(accumulators + 8), QuarterSums(accumulators + 12)));
    }
  }
}

// FloatToBf16 of 16 values (VCVTNEPS2BF16 would flush denormals).
inline __m256i RoundToBf16(__m512 values) {
  const __m512i bits = _mm512_castps_si512(values);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  const __mmask16 nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(quiet, 16));
}

}  // namespace talon::cpu::avx512
