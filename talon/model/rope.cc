#include "talon/model/rope.h"

#include <cmath>

namespace talon {

std::vector<float> RopeFrequencies(const RopeConfig& rope, int64_t head_dim) {
  std::vector<float> frequencies(static_cast<size_t>(head_dim / 2), 0.0f);
  const auto rotating =
      static_cast<int64_t>(rope.partial_rotary_factor * static_cast<double>(head_dim)) / 2;
  const auto theta = static_cast<float>(rope.theta);
  for (int64_t i = 0; i < rotating; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    frequencies[static_cast<size_t>(i)] =
        1.0f / std::pow(theta, exponent) / static_cast<float>(rope.factor);
  }
  return frequencies;
}

}  // namespace talon
