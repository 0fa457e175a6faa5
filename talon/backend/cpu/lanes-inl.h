// The 16 FP32 lanes of docs/numerics.md on vectors of any width: Highway code, built once per
// target.
#if defined(TALON_BACKEND_CPU_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TALON_BACKEND_CPU_LANES_INL_H_
#undef TALON_BACKEND_CPU_LANES_INL_H_
#else
#define TALON_BACKEND_CPU_LANES_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "talon/backend/cpu/k_order.h"

HWY_BEFORE_NAMESPACE();
namespace talon::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A native vector holds 4, 8 or 16 of the lanes; kParts of them make the 16.
using F32 = hn::CappedTag<float, kLanes>;
using VF32 = hn::Vec<F32>;
inline constexpr int64_t kVectorLanes = MaxLanes(F32());
inline constexpr int64_t kParts = kLanes / kVectorLanes;

#if HWY_TARGET != HWY_SCALAR

// LaneTree's first two steps on 16 lanes in memory: 4 partial sums.
inline hn::Vec<hn::Full128<float>> QuarterSums(const float* lanes /* [16], aligned */) {
  const hn::Full128<float> d;
  return hn::Add(hn::Add(hn::Load(d, lanes), hn::Load(d, lanes + 8)),
                 hn::Add(hn::Load(d, lanes + 4), hn::Load(d, lanes + 12)));
}

// LaneTree of four sets of lanes.
inline hn::Vec<hn::Full128<float>> LaneSums4(const float* lanes /* [4][16], aligned */) {
  const hn::Full128<float> d;
  const auto a = QuarterSums(lanes);
  const auto b = QuarterSums(lanes + 16);
  const auto c = QuarterSums(lanes + 32);
  const auto e = QuarterSums(lanes + 48);
  const auto ab = hn::Add(hn::ConcatLowerLower(d, b, a), hn::ConcatUpperUpper(d, b, a));
  const auto ce = hn::Add(hn::ConcatLowerLower(d, e, c), hn::ConcatUpperUpper(d, e, c));
  return hn::Add(hn::ConcatEven(d, ce, ab), hn::ConcatOdd(d, ce, ab));
}

#endif

}  // namespace talon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
