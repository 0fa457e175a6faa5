// Embedding, norms, additions, copies and gated activations on any vector unit.
#include "talon/backend/cpu/row_ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "talon/backend/cpu/row_ops.cc"
// clang-format off
#include "talon/backend/cpu/highway_targets.h"
#include <hwy/foreach_target.h>
// clang-format on
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "talon/backend/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace talon::cpu::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

using reference::Add;
using reference::Copy;
using reference::Embed;
using reference::GatedActivation;
using reference::NormAdd;
using reference::RmsNorm;

#else

void Embed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out, RowRange rows) {
  WithType(table.dtype, [&](auto in) {
    WithType(out.dtype, [&](auto result) {
      for (int64_t r = rows.begin; r < rows.end; ++r) {
        const auto* from = RowOf<decltype(in)>(table, ids[r]);
        auto* to = RowOf<decltype(result)>(out, r);
        for (int64_t c = 0; c < out.cols; c += kVectorLanes) {
          const VF32 value = LoadSome(from + c, out.cols - c);
          StoreSome(hn::Mul(value, hn::Set(F32(), scale)), to + c, out.cols - c);
        }
      }
    });
  });
}

// x[c] * inverse * gain[c]; a null gain is none.
template <typename T>
VF32 Normed(const T* x, const float* gain, VF32 inverse, int64_t c, int64_t cols) {
  const VF32 value = hn::Mul(LoadSome(x + c, cols - c), inverse);
  return gain == nullptr ? value : hn::Mul(value, LoadSome(gain + c, cols - c));
}

void RmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out, RowRange rows) {
  WithType(x.dtype, [&](auto in) {
    WithType(out.dtype, [&](auto result) {
      for (int64_t r = rows.begin; r < rows.end; ++r) {
        const auto* from = RowOf<decltype(in)>(x, r);
        auto* to = RowOf<decltype(result)>(out, r);
        const VF32 inverse = hn::Set(F32(), InverseRms(from, x.cols, eps));
        for (int64_t c = 0; c < x.cols; c += kVectorLanes) {
          StoreSome(Normed(from, gain, inverse, c, x.cols), to + c, x.cols - c);
        }
      }
    });
  });
}

template <typename Branch, typename Residual>
void NormAddRow(const NormAddParams& params, int64_t r) {
  const int64_t cols = params.residual.cols;
  const auto* branch = RowOf<Branch>(params.branch, r);
  auto* residual = RowOf<Residual>(params.residual, r);
  const VF32 inverse = hn::Set(F32(), InverseRms(branch, cols, params.eps));
  const VF32 scalar = hn::Set(F32(), params.layer_scalar);
  for (int64_t c = 0; c < cols; c += kVectorLanes) {
    const VF32 normed = Normed(branch, params.gain, inverse, c, cols);
    VF32 sum = hn::Add(LoadSome(residual + c, cols - c), RoundLanes<Residual>(normed));
    if (params.layer_scalar != 1.0f) sum = hn::Mul(RoundLanes<Residual>(sum), scalar);
    StoreSome(sum, residual + c, cols - c);
  }
}

void NormAdd(const NormAddParams& params, RowRange rows) {
  WithType(params.branch.dtype, [&](auto branch) {
    WithType(params.residual.dtype, [&](auto residual) {
      for (int64_t r = rows.begin; r < rows.end; ++r) {
        NormAddRow<decltype(branch), decltype(residual)>(params, r);
      }
    });
  });
}

void Add(const Tensor& a, const Tensor& b, const Tensor& out, RowRange rows) {
  WithType(a.dtype, [&](auto first) {
    WithType(b.dtype, [&](auto second) {
      WithType(out.dtype, [&](auto result) {
        for (int64_t r = rows.begin; r < rows.end; ++r) {
          const auto* x = RowOf<decltype(first)>(a, r);
          const auto* y = RowOf<decltype(second)>(b, r);
          auto* to = RowOf<decltype(result)>(out, r);
          for (int64_t c = 0; c < out.cols; c += kVectorLanes) {
            const VF32 sum = hn::Add(LoadSome(x + c, out.cols - c), LoadSome(y + c, out.cols - c));
            StoreSome(sum, to + c, out.cols - c);
          }
        }
      });
    });
  });
}

void Copy(const Tensor& from, const Tensor& to, RowRange rows) {
  WithType(from.dtype, [&](auto in) {
    WithType(to.dtype, [&](auto result) {
      for (int64_t r = rows.begin; r < rows.end; ++r) {
        const auto* x = RowOf<decltype(in)>(from, r);
        auto* y = RowOf<decltype(result)>(to, r);
        for (int64_t c = 0; c < to.cols; c += kVectorLanes) {
          StoreSome(LoadSome(x + c, to.cols - c), y + c, to.cols - c);
        }
      }
    });
  });
}

// 0.5 z (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3)))
VF32 GeluTanh(VF32 z) {
  const F32 d;
  const VF32 cube = hn::Mul(hn::Mul(z, z), z);
  const VF32 inner =
      hn::Mul(hn::Set(d, 0.7978845608028654f), hn::MulAdd(hn::Set(d, 0.044715f), cube, z));
  return hn::Mul(hn::Mul(hn::Set(d, 0.5f), z), hn::Add(hn::Set(d, 1.0f), hn::Tanh(d, inner)));
}

// z / (1 + exp(-z))
VF32 Silu(VF32 z) {
  const F32 d;
  return hn::Div(z, hn::Add(hn::Set(d, 1.0f), hn::Exp(d, hn::Neg(z))));
}

template <typename T>
void GateRow(Activation activation, const T* gate, const T* up, T* out, int64_t cols) {
  for (int64_t c = 0; c < cols; c += kVectorLanes) {
    const VF32 z = LoadSome(gate + c, cols - c);
    const VF32 activated = activation == Activation::kSilu ? Silu(z) : GeluTanh(z);
    StoreSome(hn::Mul(RoundLanes<T>(activated), LoadSome(up + c, cols - c)), out + c, cols - c);
  }
}

void GatedActivation(Activation activation, const Tensor& gate, const Tensor& up, const Tensor& out,
                     RowRange rows) {
  if (gate.dtype != out.dtype || up.dtype != out.dtype) {
    return reference::GatedActivation(activation, gate, up, out, rows);
  }
  WithType(out.dtype, [&](auto type) {
    using T = decltype(type);
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      GateRow(activation, RowOf<T>(gate, r), RowOf<T>(up, r), RowOf<T>(out, r), out.cols);
    }
  });
}

#endif

}  // namespace talon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace talon::cpu {

HWY_EXPORT(Embed);
HWY_EXPORT(RmsNorm);
HWY_EXPORT(NormAdd);
HWY_EXPORT(Add);
HWY_EXPORT(Copy);
HWY_EXPORT(GatedActivation);

void RunEmbed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out,
              RowRange rows) noexcept {
  HWY_DYNAMIC_DISPATCH(Embed)(table, ids, scale, out, rows);
}
void RunRmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out,
                RowRange rows) noexcept {
  HWY_DYNAMIC_DISPATCH(RmsNorm)(x, gain, eps, out, rows);
}
void RunNormAdd(const NormAddParams& params, RowRange rows) noexcept {
  HWY_DYNAMIC_DISPATCH(NormAdd)(params, rows);
}
void RunAdd(const Tensor& a, const Tensor& b, const Tensor& out, RowRange rows) noexcept {
  HWY_DYNAMIC_DISPATCH(Add)(a, b, out, rows);
}
void RunCopy(const Tensor& from, const Tensor& to, RowRange rows) noexcept {
  HWY_DYNAMIC_DISPATCH(Copy)(from, to, rows);
}
void RunGatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                        const Tensor& out, RowRange rows) noexcept {
  HWY_DYNAMIC_DISPATCH(GatedActivation)(activation, gate, up, out, rows);
}

}  // namespace talon::cpu

#endif
