// Scalar row ops: embedding, norms, copies, activations, softcap, argmax.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/k_order.h"
#include "talon/backend/cpu/reference.h"
#include "talon/backend/cpu/reference_norm.h"

namespace talon::cpu::reference {

void Embed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out, RowRange rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t c = 0; c < out.cols; ++c) Store(out, r, c, Load(table, ids[r], c) * scale);
  }
}

void RmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out, RowRange rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const float inverse = InverseRms(x, r, 0, x.cols, eps);
    for (int64_t c = 0; c < x.cols; ++c) {
      const float normed = Load(x, r, c) * inverse;
      Store(out, r, c, gain == nullptr ? normed : normed * gain[c]);
    }
  }
}

void NormAdd(const NormAddParams& params, RowRange rows) {
  const Tensor& residual = params.residual;
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const float inverse = InverseRms(params.branch, r, 0, params.branch.cols, params.eps);
    for (int64_t c = 0; c < residual.cols; ++c) {
      float normed = Load(params.branch, r, c) * inverse;
      if (params.gain != nullptr) normed *= params.gain[c];
      float sum = Load(residual, r, c) + Round(normed, residual.dtype);
      if (params.layer_scalar != 1.0f) sum = Round(sum, residual.dtype) * params.layer_scalar;
      Store(residual, r, c, sum);
    }
  }
}

void Add(const Tensor& a, const Tensor& b, const Tensor& out, RowRange rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t c = 0; c < out.cols; ++c) Store(out, r, c, Load(a, r, c) + Load(b, r, c));
  }
}

void Copy(const Tensor& from, const Tensor& to, RowRange rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t c = 0; c < to.cols; ++c) Store(to, r, c, Load(from, r, c));
  }
}

void GatherRows(const Tensor& x, const int32_t* indices, const Tensor& out, RowRange rows) {
  const int64_t element_bytes = SizeOf(x.dtype);
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    std::memcpy(static_cast<std::byte*>(out.data) + r * out.row_stride * element_bytes,
                static_cast<const std::byte*>(x.data) + indices[r] * x.row_stride * element_bytes,
                static_cast<size_t>(x.cols * element_bytes));
  }
}

namespace {

float Activate(Activation activation, float z) {
  if (activation == Activation::kSilu) return z / (1.0f + std::exp(-z));
  constexpr float kSqrt2OverPi = 0.79788456080286535588f;
  return 0.5f * z * (1.0f + std::tanh(kSqrt2OverPi * (z + 0.044715f * z * z * z)));
}

}  // namespace

void GatedActivation(Activation activation, const Tensor& gate, const Tensor& up, const Tensor& out,
                     RowRange rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t c = 0; c < out.cols; ++c) {
      const float activated = Round(Activate(activation, Load(gate, r, c)), out.dtype);
      Store(out, r, c, activated * Load(up, r, c));
    }
  }
}

void Softcap(float cap, const Tensor& logits, RowRange rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    for (int64_t c = 0; c < logits.cols; ++c) {
      Store(logits, r, c, cap * std::tanh(Load(logits, r, c) / cap));
    }
  }
}

void Argmax(const Tensor& logits, int32_t* tokens, RowRange rows) {
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const float* row = RowF32(logits, r);
    int32_t best = 0;
    for (int64_t c = 0; c < logits.cols && best >= 0; ++c) {
      if (std::isnan(row[c])) {
        best = -1;
      } else if (row[c] > row[best]) {
        best = static_cast<int32_t>(c);
      }
    }
    tokens[r] = best;
  }
}

}  // namespace talon::cpu::reference
