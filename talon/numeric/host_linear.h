// A linear layer's weights as checkpoint files hold them, in host memory (usually memory-mapped).
// The checkpoint layer fills it in, a backend turns it into its own LinearWeight.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace talon {

enum class LinearFormat : uint8_t {
  kBF16,   // data: BF16 [out, in]
  kF8,     // data: E4M3 [out, in]; w = e4m3 * (row_scales ? row_scales[out] : weight_scale)
  kNvfp4,  // data: E2M1 pairs, U8 [out, in / 2] (even column in the low nibble);
           // w = e2m1 * e4m3(block_scales) * weight_scale
};

struct HostLinear {
  std::string name;  // module name in the file, e.g. "layers.0.mlp.up_proj"; for errors
  LinearFormat format = LinearFormat::kBF16;
  int64_t out_features = 0;
  int64_t in_features = 0;
  const void* data = nullptr;
  const uint8_t* block_scales = nullptr;  // [out, in / 16] E4M3 codes; NVFP4 only
  const float* row_scales = nullptr;      // [out]; FP8 per channel only
  // Multiplies every weight: ModelOpt's weight_scale_2, the reciprocal of compressed-tensors'
  // weight_global_scale, FP8's weight_scale. 1 for BF16.
  float weight_scale = 1.0f;
  // ModelOpt's input_scale (amax / 2688 for NVFP4, amax / 448 for FP8), the reciprocal of
  // compressed-tensors' input_global_scale; 0 when the file has none (weight-only).
  float input_scale = 0.0f;
  std::shared_ptr<const void> owner;  // keeps `data` and the scales alive
};

}  // namespace talon
