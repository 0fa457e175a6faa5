// Binds a linear's tensors in a checkpoint to a HostLinear, whatever layout the file uses: BF16,
// FP8 (per tensor or per channel), NVFP4 of ModelOpt or of compressed-tensors (reciprocal global
// scales). Decided by suffix and dtype per tensor, never by a global flag. Sources: specs/nvfp4.md
// 3, 4, 8.3.
#pragma once

#include <string>

#include "talon/checkpoint/safetensors.h"
#include "talon/numeric/host_linear.h"

namespace talon {

// `module` is the name without suffix ("layers.0.mlp.up_proj"). Throws naming the tensor when it is
// missing, misshaped for [out_features, in_features], or in a format Talon does not read (MXFP4,
// int4).
HostLinear BindLinear(const TensorStore& store, const std::string& module, int64_t out_features,
                      int64_t in_features);

}  // namespace talon
