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

// The first two steps for 1, 2 or 4 accumulators: accumulator n's 4 partial sums in lanes 4 n to 4
// n + 3.
template <int N>
[[gnu::always_inline]] inline __m512 QuarterSums(const __m512* accumulators /* [N] */) {
  static_assert(N == 1 || N == 2 || N == 4);
  const __m512 first = Halve16(accumulators[0], accumulators[N > 1 ? 1 : 0]);
  if constexpr (N < 4) return Halve8(first, first);
  return Halve8(first, Halve16(accumulators[N - 2], accumulators[N - 1]));
}

// The last two steps for four sets of quarter sums: set m, accumulator n in lane 4 n + m.
inline __m512 FinishSums(__m512 set0, __m512 set1, __m512 set2, __m512 set3) {
  return Halve2(Halve4(set0, set1), Halve4(set2, set3));
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
