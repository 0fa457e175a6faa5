// Vectorized row ops. Each row is computed from itself alone, with the bits of the scalar
// references (reference.h) where those use no transcendental function.
#pragma once

#include <cstdint>

#include "talon/backend/backend.h"
#include "talon/backend/cpu/reference.h"

namespace talon::cpu {

using reference::RowRange;

void RunEmbed(const Tensor& table, const int32_t* ids, float scale, const Tensor& out,
              RowRange rows) noexcept;
void RunRmsNorm(const Tensor& x, const float* gain, float eps, const Tensor& out,
                RowRange rows) noexcept;
void RunNormAdd(const NormAddParams& params, RowRange rows) noexcept;
void RunAdd(const Tensor& a, const Tensor& b, const Tensor& out, RowRange rows) noexcept;
void RunCopy(const Tensor& from, const Tensor& to, RowRange rows) noexcept;
void RunGatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                        const Tensor& out, RowRange rows) noexcept;

}  // namespace talon::cpu
