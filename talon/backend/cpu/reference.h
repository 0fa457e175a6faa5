// The definition of every op, one scalar function each, readable against the formulas of
// docs/numerics.md and specs/gemma.md 2. The fast kernels are tested against these; whatever has no
// fast kernel runs through them. All work on rows [row_begin, row_end) of their outputs and are
// independent of any other row.
#pragma once

#include <cstdint>

#include "talon/backend/backend.h"
#include "talon/backend/tensor.h"

namespace talon::cpu::reference {

struct RowRange {
  int64_t begin = 0;
  int64_t end = 0;
};

void Embed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out, RowRange rows);
void RmsNorm(const Tensor& x, const float* gain /* [cols] or null */, float eps, const Tensor& out,
             RowRange rows);
void NormAdd(const NormAddParams& params, RowRange rows);
void Add(const Tensor& a, const Tensor& b, const Tensor& out, RowRange rows);
void Copy(const Tensor& from, const Tensor& to, RowRange rows);
void GatherRows(const Tensor& x, const int32_t* indices, const Tensor& out, RowRange rows);
void RopeTable(const int32_t* positions, const float* inv_freq, DType round_to, const Tensor& table,
               RowRange rows);
void QkvNormRopeWrite(const QkvParams& params, RowRange rows);
// Plain two-pass softmax in double precision over the visible keys.
void Attention(const AttentionParams& params, RowRange rows);
void GatedActivation(Activation activation, const Tensor& gate, const Tensor& up, const Tensor& out,
                     RowRange rows);
void Softcap(float cap, const Tensor& logits, RowRange rows);
// -1 for a row that holds a NaN.
void Argmax(const Tensor& logits, int32_t* tokens, RowRange rows);

// Weight [out, in] as FP32 without weight_scale and row scale: what the products of a linear use.
float WeightElement(const LinearWeight& weight, int64_t out_feature, int64_t in_feature);
// The factor that multiplies the finished sum of one output feature.
float OutputFactor(const LinearWeight& weight, int64_t out_feature);
// One row of inputs as the products use it: W4A4 quantizes blocks of 16, others copy.
void LinearInputs(const LinearWeight& weight, const Tensor& x, int64_t row,
                  float* inputs /* [in_features] */);
// The sum in the K order of docs/numerics.md 1 for F32: 16 lanes by fused multiply-add per leaf,
// the lane tree, the leaf tree.
float OrderedDot(const float* x /* [k] */, const float* w /* [k] */, int64_t k);
// The same for BF16 inputs on AVX-512 BF16: lane l adds the pairs 32 j + 2 l and + 1 as VDPBF16PS
// does, the odd product first, each by fused multiply-add with denormals flushed to zero.
float OrderedDotPairs(const float* x /* [k] */, const float* w /* [k] */, int64_t k);
void Linear(const Tensor& x, const LinearWeight& weight, const Tensor& out, RowRange rows);

}  // namespace talon::cpu::reference
