// Gated activations, softcap and argmax on any vector unit.
#include "talon/backend/cpu/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "talon/backend/cpu/elementwise.cc"
// clang-format off
#include "talon/backend/cpu/highway_targets.h"
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace talon::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void Gated(Activation activation, const Tensor& gate, const Tensor& up, const Tensor& out,
           reference::RowRange rows) {
  reference::GatedActivation(activation, gate, up, out, rows);
}
void Cap(float cap, const Tensor& logits, reference::RowRange rows) {
  reference::Softcap(cap, logits, rows);
}
void LargestOf(const Tensor& logits, int32_t* tokens, reference::RowRange rows) {
  reference::Argmax(logits, tokens, rows);
}

#else

// The last, partial vector of a row goes through a padded copy, so that every element takes the
// same path.
constexpr int64_t kStep = kVectorLanes;

void LoadStep(const Tensor& tensor, int64_t row, int64_t col, float* values /* [kStep] */) {
  const int64_t count = std::min(kStep, tensor.cols - col);
  for (int64_t i = 0; i < count; ++i) values[i] = Load(tensor, row, col + i);
  for (int64_t i = count; i < kStep; ++i) values[i] = 0.0f;
}

void StoreStep(const Tensor& tensor, int64_t row, int64_t col, const float* values) {
  const int64_t count = std::min(kStep, tensor.cols - col);
  for (int64_t i = 0; i < count; ++i) Store(tensor, row, col + i, values[i]);
}

VF32 Tanh(F32 d, VF32 x) { return hn::Tanh(d, x); }

// 0.5 z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3)))
VF32 GeluTanh(F32 d, VF32 z) {
  const VF32 cube = hn::Mul(hn::Mul(z, z), z);
  const VF32 inner =
      hn::Mul(hn::Set(d, 0.7978845608028654f), hn::MulAdd(hn::Set(d, 0.044715f), cube, z));
  return hn::Mul(hn::Mul(hn::Set(d, 0.5f), z), hn::Add(hn::Set(d, 1.0f), Tanh(d, inner)));
}

// z / (1 + exp(-z))
VF32 Silu(F32 d, VF32 z) { return hn::Div(z, hn::Add(hn::Set(d, 1.0f), hn::Exp(d, hn::Neg(z)))); }

void Gated(Activation activation, const Tensor& gate, const Tensor& up, const Tensor& out,
           reference::RowRange rows) {
  const F32 d;
  HWY_ALIGN float g[kStep];
  HWY_ALIGN float u[kStep];
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    for (int64_t col = 0; col < out.cols; col += kStep) {
      LoadStep(gate, row, col, g);
      LoadStep(up, row, col, u);
      const VF32 z = hn::Load(d, g);
      hn::Store(activation == Activation::kSilu ? Silu(d, z) : GeluTanh(d, z), d, g);
      for (int64_t i = 0; i < kStep; ++i) g[i] = Round(g[i], out.dtype) * u[i];
      StoreStep(out, row, col, g);
    }
  }
}

void Cap(float cap, const Tensor& logits, reference::RowRange rows) {
  const F32 d;
  HWY_ALIGN float x[kStep];
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    for (int64_t col = 0; col < logits.cols; col += kStep) {
      LoadStep(logits, row, col, x);
      const VF32 scaled = hn::Div(hn::Load(d, x), hn::Set(d, cap));
      hn::Store(hn::Mul(Tanh(d, scaled), hn::Set(d, cap)), d, x);
      StoreStep(logits, row, col, x);
    }
  }
}

// The row's maximum first, then its lowest index: two streaming passes.
int32_t LargestInRow(const float* row, int64_t cols) {
  const F32 d;
  VF32 largest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto nan = hn::Ne(largest, largest);  // none yet
  int64_t col = 0;
  for (; col + kStep <= cols; col += kStep) {
    const VF32 x = hn::LoadU(d, row + col);
    largest = hn::Max(largest, x);
    nan = hn::Or(nan, hn::IsNaN(x));
  }
  bool has_nan = !hn::AllFalse(d, nan);
  float best = hn::GetLane(hn::MaxOfLanes(d, largest));
  for (; col < cols; ++col) {
    has_nan = has_nan || std::isnan(row[col]);
    best = std::max(best, row[col]);
  }
  if (has_nan) return -1;
  int64_t at = 0;
  for (; at + kStep <= cols; at += kStep) {
    const auto equal = hn::Eq(hn::LoadU(d, row + at), hn::Set(d, best));
    const intptr_t lane = hn::FindFirstTrue(d, equal);
    if (lane >= 0) return static_cast<int32_t>(at + lane);
  }
  while (row[at] != best) ++at;
  return static_cast<int32_t>(at);
}

void LargestOf(const Tensor& logits, int32_t* tokens, reference::RowRange rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    tokens[row] = LargestInRow(RowF32(logits, row), logits.cols);
  }
}

#endif

}  // namespace talon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace talon::cpu {

HWY_EXPORT(Gated);
HWY_EXPORT(Cap);
HWY_EXPORT(LargestOf);

void RunGatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                        const Tensor& out, reference::RowRange rows) noexcept {
  HWY_DYNAMIC_DISPATCH(Gated)(activation, gate, up, out, rows);
}
void RunSoftcap(float cap, const Tensor& logits, reference::RowRange rows) noexcept {
  HWY_DYNAMIC_DISPATCH(Cap)(cap, logits, rows);
}
void RunArgmax(const Tensor& logits, int32_t* tokens, reference::RowRange rows) noexcept {
  HWY_DYNAMIC_DISPATCH(LargestOf)(logits, tokens, rows);
}

}  // namespace talon::cpu

#endif
