// What to quantize and how. `max` is ModelOpt's NVFP4_DEFAULT_CFG with max calibration (weights and
// activations, W4A4), `w4a16` its weight-only form. Source: specs/nvfp4.md 2.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "talon/numeric/nvfp4.h"

namespace talon {

enum class EmbeddingMode : uint8_t {
  kAuto,   // left out when its bytes equal the verifier's, else kept
  kKeep,   // BF16
  kShare,  // left out: the runtime takes the verifier's
  kNvfp4,  // weight-only NVFP4
};

struct Recipe {
  bool quantize_activations = true;
  ScaleDivision division = ScaleDivision::kIeee;
  EmbeddingMode embedding = EmbeddingMode::kAuto;
  bool quantize_lm_head = false;

  std::string_view name() const { return quantize_activations ? "max" : "w4a16"; }
  // ModelOpt's names.
  std::string_view config_name() const {
    return quantize_activations ? "NVFP4_DEFAULT_CFG" : "W4A16_NVFP4_CFG";
  }
  std::string_view quant_algo() const { return quantize_activations ? "NVFP4" : "W4A16_NVFP4"; }
};

std::string_view Name(EmbeddingMode mode);
std::string_view Name(ScaleDivision division);

// From the flags' texts; throw kInvalidArgument naming flag, found and allowed values.
Recipe ParseRecipe(std::string_view name);
EmbeddingMode ParseEmbeddingMode(std::string_view name);
ScaleDivision ParseScaleDivision(std::string_view name);
bool ParseQuantizeLmHead(std::string_view name);

}  // namespace talon
