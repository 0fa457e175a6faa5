// The 16 FP32 lanes of docs/numerics.md on vectors of any width: Highway code, built once per
// target.
#if defined(TALON_BACKEND_CPU_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TALON_BACKEND_CPU_LANES_INL_H_
#undef TALON_BACKEND_CPU_LANES_INL_H_
#else
#define TALON_BACKEND_CPU_LANES_INL_H_
#endif

#include <hwy/highway.h>

#include <cmath>
#include <cstdint>

#include "talon/backend/cpu/k_order.h"
#include "talon/backend/cpu/unroll.h"
#include "talon/backend/tensor.h"

HWY_BEFORE_NAMESPACE();
namespace talon::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A native vector holds 4, 8 or 16 of the lanes; kParts of them make the 16.
using F32 = hn::CappedTag<float, kLanes>;
using VF32 = hn::Vec<F32>;
inline constexpr int64_t kVectorLanes = MaxLanes(F32());
inline constexpr int64_t kParts = kLanes / kVectorLanes;

#if HWY_TARGET != HWY_SCALAR

// The row types of kernels: float, and uint16_t for BF16. Loading widens to FP32, storing rounds to
// the type as Store() of element.h does, RoundLanes<T> rounds and widens again.
inline VF32 LoadLanes(const float* from) { return hn::LoadU(F32(), from); }
inline VF32 LoadLanes(const uint16_t* from) {
  const hn::Rebind<uint16_t, F32> d16;
  const hn::RebindToUnsigned<F32> d32;
  const auto bits = hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, from)));
  return hn::BitCast(F32(), bits);
}

inline VF32 LoadE4m3(const uint8_t* codes) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const hn::Rebind<uint8_t, F32> d8;
  const auto code = hn::PromoteTo(di, hn::LoadU(d8, codes));
  const auto magnitude = hn::And(code, hn::Set(di, 0x7F));
  const auto normal = hn::Add(hn::ShiftLeft<20>(magnitude), hn::Set(di, 120 << 23));
  const VF32 subnormal = hn::Mul(hn::ConvertTo(d, magnitude), hn::Set(d, 0x1p-9f));
  const auto is_small = hn::RebindMask(d, hn::Lt(magnitude, hn::Set(di, 8)));
  const auto is_nan = hn::RebindMask(d, hn::Eq(magnitude, hn::Set(di, 0x7F)));
  const VF32 finite = hn::IfThenElse(is_small, subnormal, hn::BitCast(d, normal));
  const VF32 value = hn::IfThenElse(is_nan, hn::NaN(d), finite);
  const auto sign = hn::ShiftLeft<24>(hn::And(code, hn::Set(di, 0x80)));
  return hn::Or(value, hn::BitCast(d, sign));
}

// The bits of BF16 values in the upper halves; a NaN stays a quiet NaN.
inline hn::Vec<hn::RebindToUnsigned<F32>> RoundBits(VF32 value) {
  const hn::RebindToUnsigned<F32> d32;
  const auto bits = hn::BitCast(d32, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7FFF)));
  const auto quiet = hn::Or(bits, hn::Set(d32, 0x400000));
  const auto kept = hn::IfThenElse(hn::RebindMask(d32, hn::IsNaN(value)), quiet, rounded);
  return hn::And(kept, hn::Set(d32, 0xFFFF0000));
}

inline void StoreLanes(VF32 value, float* to) { hn::StoreU(value, F32(), to); }
inline void StoreLanes(VF32 value, uint16_t* to) {
  const hn::Rebind<uint16_t, F32> d16;
  const hn::RebindToSigned<F32> d32;
  const auto bits = hn::BitCast(d32, hn::ShiftRight<16>(RoundBits(value)));
  hn::StoreU(hn::DemoteTo(d16, bits), d16, to);
}

template <typename T>
VF32 RoundLanes(VF32 value) {
  if constexpr (sizeof(T) == sizeof(float)) return value;
  return hn::BitCast(F32(), RoundBits(value));
}

// Calls fn(float or uint16_t) for an F32 or BF16 tensor: a template's argument by value.
template <typename Fn>
void WithType(DType dtype, Fn fn) {
  if (dtype == DType::kBF16) {
    fn(uint16_t{});
  } else {
    fn(float{});
  }
}

// Row `row` of a tensor from column `col` on.
template <typename T>
T* RowOf(const Tensor& tensor, int64_t row, int64_t col = 0) {
  return static_cast<T*>(tensor.data) + row * tensor.row_stride + col;
}

// A vector of which only the first `count` elements exist (count may exceed a vector, or be 0 or
// less); the others load as zero and are not stored.
template <typename T>
VF32 LoadSome(const T* from, int64_t count) {
  if (count >= kVectorLanes) return LoadLanes(from);
  HWY_ALIGN T padded[kVectorLanes] = {};
  for (int64_t i = 0; i < count; ++i) padded[i] = from[i];
  return LoadLanes(padded);
}
template <typename T>
void StoreSome(VF32 value, T* to, int64_t count) {
  if (count >= kVectorLanes) return StoreLanes(value, to);
  HWY_ALIGN T padded[kVectorLanes];
  StoreLanes(value, padded);
  for (int64_t i = 0; i < count; ++i) to[i] = padded[i];
}

// 1 / sqrt(mean(x^2) + eps) in the order of reference::InverseRms.
template <typename T>
float InverseRms(const T* x, int64_t count, float eps) {
  VF32 acc[kParts];
  for (auto& a : acc) a = hn::Zero(F32());
  for (int64_t i = 0; i < count; i += kLanes) {
    for (int64_t part = 0; part < kParts; ++part) {
      const int64_t at = i + part * kVectorLanes;
      const VF32 value = LoadSome(x + at, count - at);
      acc[part] = hn::MulAdd(value, value, acc[part]);
    }
  }
  HWY_ALIGN float lanes[kLanes];
  for (int64_t part = 0; part < kParts; ++part) {
    hn::Store(acc[part], F32(), lanes + part * kVectorLanes);
  }
  return 1.0f / std::sqrt(LaneTree(lanes) / static_cast<float>(count) + eps);
}

// LaneTree of kVectorLanes accumulators at once: lane l of the result is the sum of accumulator l.
// Each step halves the lanes of two vectors and packs both into one.
#if HWY_TARGET == HWY_AVX3
inline VF32 Halve16(VF32 a, VF32 b) {
  const F32 d;
  return hn::Add(hn::ConcatLowerLower(d, b, a), hn::ConcatUpperUpper(d, b, a));
}
#endif
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
inline VF32 Halve8(VF32 a, VF32 b) {
  const VF32 low = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(b), a);
  const VF32 high = hn::OddEvenBlocks(b, hn::SwapAdjacentBlocks(a));
  return hn::Add(low, high);
}
#endif
inline VF32 Halve4(VF32 a, VF32 b) {
  const hn::Repartition<double, F32> dd;
  const auto da = hn::BitCast(dd, a);
  const auto db = hn::BitCast(dd, b);
  const F32 d;
  return hn::Add(hn::BitCast(d, hn::InterleaveLower(dd, da, db)),
                 hn::BitCast(d, hn::InterleaveUpper(dd, da, db)));
}
inline VF32 Halve2(VF32 a, VF32 b) {
  return hn::OddEven(hn::Add(b, hn::Shuffle2301(b)), hn::Add(a, hn::Shuffle2301(a)));
}

// `part(p, l)` gives lanes [p * kVectorLanes, ...) of accumulator l.
template <typename PartFn>
HWY_INLINE VF32 LaneSums(PartFn part) {
  VF32 v[kVectorLanes];
  Unroll<kVectorLanes>([&](auto l) {
    if constexpr (kParts == 1) v[l] = part(0, l);
    if constexpr (kParts == 2) v[l] = hn::Add(part(0, l), part(1, l));
    if constexpr (kParts == 4) {
      v[l] = hn::Add(hn::Add(part(0, l), part(2, l)), hn::Add(part(1, l), part(3, l)));
    }
  });
#if HWY_TARGET == HWY_AVX3
  Unroll<8>([&](auto l) { v[l] = Halve16(v[l], v[l + 8]); });
#endif
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
  Unroll<4>([&](auto l) { v[l] = Halve8(v[l], v[l + 4]); });
#endif
  Unroll<2>([&](auto l) { v[l] = Halve4(v[l], v[l + 2]); });
  return Halve2(v[0], v[1]);
}

#endif

}  // namespace talon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
