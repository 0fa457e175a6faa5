// Checkpoint weights as the CPU kernels use them: in place, in file order.
#pragma once

#include "talon/backend/tensor.h"
#include "talon/numeric/host_linear.h"

namespace talon::cpu {

// `numerics` kW4A4 concerns NVFP4 weights; other formats stay weight-only. Throws kUnsupported with
// the linear's name when its shape does not fit the format, kInvalidArgument when W4A4 is asked of
// weights without an input scale.
LinearWeight MakeLinear(const HostLinear& linear, LinearNumerics numerics);

}  // namespace talon::cpu
