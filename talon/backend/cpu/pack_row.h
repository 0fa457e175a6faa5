// One row of a linear's inputs into its packed place; see packed_inputs.h.
#pragma once

#include <cstdint>

#include "talon/backend/tensor.h"

namespace talon::cpu {

struct PackTarget {
  void* first = nullptr;      // the row's first step
  DType dtype = DType::kF32;  // F32 or BF16
  int64_t step_elements = 16;
  int64_t step_stride = 0;  // elements from a step to the next
};

// Copies x [cols], rounded to the target's type; with `input_scale` > 0 quantized to NVFP4 blocks
// of 16 first, as QuantizeActivationBlock does.
void PackRow(const void* x, DType dtype, int64_t cols, float input_scale,
             const PackTarget& target) noexcept;

}  // namespace talon::cpu
