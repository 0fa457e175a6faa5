// Per-head norms, RoPE and the KV write, vectorized; the bits of reference::QkvNormRopeWrite.
#pragma once

#include "talon/backend/backend.h"
#include "talon/backend/cpu/reference.h"

namespace talon::cpu {

void RunQkvNormRopeWrite(const QkvParams& params, reference::RowRange rows) noexcept;

}  // namespace talon::cpu
