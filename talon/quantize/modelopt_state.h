// modelopt_state.pt in the form of ModelOpt 0.47: which modes were applied and the state of every
// quantizer, so that mto.restore_from_modelopt_state can wrap the unquantized model class again.
// vLLM does not need it. Source: specs/nvfp4.md 3.6 and 0.1.
#pragma once

#include <string>
#include <vector>

#include "talon/quantize/recipe.h"

namespace talon {

// A module that owns quantizers: every linear, and every embedding.
struct QuantizerModule {
  std::string name;  // "layers.0.mlp.up_proj"
  bool is_embedding = false;
  bool quantized = false;
};

// The file's bytes.
std::string ModelOptState(const Recipe& recipe, const std::vector<QuantizerModule>& modules);

}  // namespace talon
