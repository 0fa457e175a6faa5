// See make_linear.h.
#include "talon/backend/cpu/make_linear.h"

#include "talon/base/error.h"
#include "talon/numeric/nvfp4.h"

namespace talon::cpu {

LinearWeight MakeLinear(const HostLinear& linear, LinearNumerics numerics) {
  CheckInternal(linear.data != nullptr && linear.out_features > 0 && linear.in_features > 0,
                "a linear has data and a shape");
  LinearWeight weight;
  weight.format = linear.format;
  weight.out_features = linear.out_features;
  weight.in_features = linear.in_features;
  weight.data = linear.data;
  weight.owner = linear.owner;
  if (linear.format == LinearFormat::kBF16) return weight;
  weight.row_scales = linear.row_scales;
  weight.weight_scale = linear.weight_scale;
  if (linear.format != LinearFormat::kNvfp4) return weight;
  if (linear.in_features % kNvfp4BlockSize != 0) {
    Throw(ErrorCode::kUnsupported,
          "{}: NVFP4 weights have {} columns, expected a multiple of {}; leave this linear in BF16",
          linear.name, linear.in_features, kNvfp4BlockSize);
  }
  CheckInternal(linear.block_scales != nullptr, "NVFP4 weights have block scales");
  weight.row_scales = nullptr;
  weight.block_scales = linear.block_scales;
  if (numerics == LinearNumerics::kW4A4) {
    if (!(linear.input_scale > 0.0f)) {
      Throw(ErrorCode::kInvalidArgument,
            "{}: no input_scale in the checkpoint, which W4A4 needs; use --numerics w4a16",
            linear.name);
    }
    weight.numerics = numerics;
    weight.input_scale = linear.input_scale;
  }
  return weight;
}

}  // namespace talon::cpu
