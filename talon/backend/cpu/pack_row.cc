// See pack_row.h.
#include "talon/backend/cpu/pack_row.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "talon/backend/cpu/pack_row.cc"
// clang-format off
#include "talon/backend/cpu/highway_targets.h"
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/highway.h>

#include <algorithm>

#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/lanes-inl.h"
#include "talon/numeric/nvfp4.h"

HWY_BEFORE_NAMESPACE();
namespace talon::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void Pack(const void* x, DType dtype, int64_t cols, float input_scale, const PackTarget& target) {
  for (int64_t begin = 0; begin < cols; begin += kNvfp4BlockSize) {
    const int64_t count = std::min(kNvfp4BlockSize, cols - begin);
    float values[kNvfp4BlockSize];
    for (int64_t i = 0; i < count; ++i) values[i] = LoadElement(x, dtype, begin + i);
    if (input_scale > 0.0f) {
      float quantized[kNvfp4BlockSize];
      QuantizeActivationBlock(values, input_scale, quantized);
      std::copy_n(quantized, count, values);
    }
    const int64_t to =
        begin / target.step_elements * target.step_stride + begin % target.step_elements;
    for (int64_t i = 0; i < count; ++i) {
      StoreElement(target.first, target.dtype, to + i, values[i]);
    }
  }
}

#else

// EncodeE2m1 and back.
VF32 RoundToE2m1(VF32 x) {
  const F32 d;
  const VF32 a = hn::Abs(x);
  const auto value = [&](float v) { return hn::Set(d, v); };
  VF32 m = hn::IfThenElseZero(hn::Gt(a, value(0.25f)), value(0.5f));
  m = hn::IfThenElse(hn::Ge(a, value(0.75f)), value(1.0f), m);
  m = hn::IfThenElse(hn::Gt(a, value(1.25f)), value(1.5f), m);
  m = hn::IfThenElse(hn::Ge(a, value(1.75f)), value(2.0f), m);
  m = hn::IfThenElse(hn::Gt(a, value(2.5f)), value(3.0f), m);
  m = hn::IfThenElse(hn::Ge(a, value(3.5f)), value(4.0f), m);
  m = hn::IfThenElse(hn::Gt(a, value(5.0f)), value(6.0f), m);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Neg(m), m);
}

// QuantizeActivationBlock on 16 lanes.
void QuantizeBlock(float input_scale, VF32* x /* [kParts] */) {
  const F32 d;
  VF32 largest = hn::Zero(d);
  for (int64_t part = 0; part < kParts; ++part) largest = hn::Max(largest, hn::Abs(x[part]));
  const float amax = hn::GetLane(hn::MaxOfLanes(d, largest));
  const float scale = DecodeE4m3(ActivationBlockScale(amax, input_scale));
  const VF32 inverse = hn::Set(d, 1.0f / input_scale);
  for (int64_t part = 0; part < kParts; ++part) {
    if (scale == 0.0f) {
      x[part] = hn::Zero(d);
      continue;
    }
    const VF32 s = hn::Set(d, scale);
    x[part] = hn::Mul(RoundToE2m1(hn::Div(hn::Mul(x[part], inverse), s)), s);
  }
}

template <typename From, typename To>
void PackAs(const From* x, int64_t cols, float input_scale, const PackTarget& target) {
  auto* first = static_cast<To*>(target.first);
  for (int64_t begin = 0; begin < cols; begin += kLanes) {
    VF32 block[kParts];
    for (int64_t part = 0; part < kParts; ++part) {
      const int64_t at = begin + part * kVectorLanes;
      block[part] = LoadSome(x + at, cols - at);
    }
    if (input_scale > 0.0f) QuantizeBlock(input_scale, block);
    To* to =
        first + begin / target.step_elements * target.step_stride + begin % target.step_elements;
    for (int64_t part = 0; part < kParts; ++part) {
      StoreLanes(block[part], to + part * kVectorLanes);
    }
  }
}

void Pack(const void* x, DType dtype, int64_t cols, float input_scale, const PackTarget& target) {
  WithType(dtype, [&](auto from) {
    WithType(target.dtype, [&](auto to) {
      using From = decltype(from);
      PackAs<From, decltype(to)>(static_cast<const From*>(x), cols, input_scale, target);
    });
  });
}

#endif

}  // namespace talon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace talon::cpu {

HWY_EXPORT(Pack);

void PackRow(const void* x, DType dtype, int64_t cols, float input_scale,
             const PackTarget& target) noexcept {
  HWY_DYNAMIC_DISPATCH(Pack)(x, dtype, cols, input_scale, target);
}

}  // namespace talon::cpu

#endif
