// RoPE frequencies. Source: specs/gemma.md 2.5 (default, proportional), 1.4 (linear factor).
#pragma once

#include <cstdint>
#include <vector>

#include "talon/checkpoint/model_config.h"

namespace talon {

// F32 frequencies [head_dim / 2]: 1 / theta^(2i / head_dim) / factor, and 0 for the lanes beyond
// partial_rotary_factor, so that they pass through.
std::vector<float> RopeFrequencies(const RopeConfig& rope, int64_t head_dim);

}  // namespace talon
