// See host_tensor.h.
#include "tests/backend/host_tensor.h"

#include "talon/numeric/bf16.h"

namespace talon::test {

HostWeights RandomWeights(LinearFormat format, int64_t out_features, int64_t in_features,
                          std::mt19937& random) {
  HostWeights weights;
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::uniform_int_distribution<int> byte(0, 255);
  const int64_t count = out_features * in_features;
  // E4M3 codes without NaN.
  const auto e4m3 = [&](bool with_sign) {
    int code = byte(random) & (with_sign ? 0xFF : 0x7F);
    if ((code & 0x7F) == 0x7F) code -= 1;
    return static_cast<uint8_t>(code);
  };
  HostLinear& linear = weights.linear;
  linear.name = "test";
  linear.format = format;
  linear.out_features = out_features;
  linear.in_features = in_features;
  switch (format) {
    case LinearFormat::kBF16:
      for (int64_t i = 0; i < count; ++i) {
        const uint16_t bits = FloatToBf16(normal(random));
        weights.data.push_back(static_cast<uint8_t>(bits & 0xFF));
        weights.data.push_back(static_cast<uint8_t>(bits >> 8));
      }
      break;
    case LinearFormat::kF8:
      for (int64_t i = 0; i < count; ++i) weights.data.push_back(e4m3(true));
      linear.weight_scale = 0.0123f;
      break;
    case LinearFormat::kNvfp4:
      for (int64_t i = 0; i < count / 2; ++i) {
        weights.data.push_back(static_cast<uint8_t>(byte(random)));
      }
      for (int64_t i = 0; i < count / 16; ++i) weights.block_scales.push_back(e4m3(false));
      linear.weight_scale = 0.00371f;
      linear.input_scale = 0.0021f;
      linear.block_scales = weights.block_scales.data();
      break;
  }
  linear.data = weights.data.data();
  return weights;
}

}  // namespace talon::test
