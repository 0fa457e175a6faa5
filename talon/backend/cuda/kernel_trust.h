// Which fast kernels may be used; what is not trusted runs in its plain form (linear_f32.h,
// attention_lanes.cuh). The start-up check decides (self_test.h).
#pragma once

#include "talon/numeric/host_linear.h"

namespace talon::cuda {

struct FormatTrust {
  bool few_rows = true;
  bool many_rows = true;
};

struct KernelTrust {
  FormatTrust nvfp4, bf16, fp8;
  bool tensor_attention = true;

  FormatTrust& Of(LinearFormat format) {
    return format == LinearFormat::kNvfp4 ? nvfp4 : format == LinearFormat::kBF16 ? bf16 : fp8;
  }
};

}  // namespace talon::cuda
