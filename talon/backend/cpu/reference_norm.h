// The sum of squares under every RMS norm, in the order all kernels share.
#pragma once

#include <cmath>
#include <cstdint>

#include "talon/backend/cpu/element.h"
#include "talon/backend/cpu/k_order.h"

namespace talon::cpu::reference {

// 1 / sqrt(mean(x^2) + eps) over columns [begin, begin + count) of a row: 16 FP32 lanes by fused
// multiply-add in ascending order, then the lane tree.
inline float InverseRms(const Tensor& x, int64_t row, int64_t begin, int64_t count, float eps) {
  float lanes[kLanes] = {};
  for (int64_t c = 0; c < count; ++c) {
    const float value = Load(x, row, begin + c);
    lanes[c % kLanes] = std::fma(value, value, lanes[c % kLanes]);
  }
  return 1.0f / std::sqrt(LaneTree(lanes) / static_cast<float>(count) + eps);
}

}  // namespace talon::cpu::reference
