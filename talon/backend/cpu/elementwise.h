// Vectorized elementwise ops whose transcendental functions would dominate otherwise. Each element
// is computed alone, so nothing depends on the batch. References: reference_rows.cc.
#pragma once

#include "talon/backend/backend.h"
#include "talon/backend/cpu/reference.h"

namespace talon::cpu {

void RunGatedActivation(Activation activation, const Tensor& gate, const Tensor& up,
                        const Tensor& out, reference::RowRange rows) noexcept;
void RunSoftcap(float cap, const Tensor& logits, reference::RowRange rows) noexcept;
// Ties to the lowest id; -1 for a row with NaN.
void RunArgmax(const Tensor& logits, int32_t* tokens, reference::RowRange rows) noexcept;

}  // namespace talon::cpu
