// The configuration files that tell vLLM, ModelOpt and transformers what a checkpoint holds.
// Sources: specs/nvfp4.md 0.2, 3.2, 3.3.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "talon/base/json.h"
#include "talon/quantize/recipe.h"

namespace talon {

// Which modules a loader has to leave unquantized, condensed with wildcards as ModelOpt does: the
// shortest dotted prefix of each unquantized module that matches no quantized one. Sorted.
std::vector<std::string> CondenseExcluded(const std::vector<std::string>& quantized,
                                          const std::vector<std::string>& unquantized);

// `quantization_config` of config.json: the flattened form.
Json MakeQuantizationConfig(const Recipe& recipe, const std::vector<std::string>& excluded);

// hf_quant_config.json.
Json MakeHfQuantConfig(const Recipe& recipe, const std::vector<std::string>& excluded);

// The checkpoint's custom config class, as transformers finds it.
struct ConfigClass {
  std::string module = "config";  // config.py
  std::string name = "Eagle3SpeculatorConfig";
};

// Makes `config` (a drafter's) name its class for trust_remote_code under "AutoConfig" too, which
// is where transformers looks; speculators writes it under "" only.
void SetAutoMap(Json& config, const ConfigClass& config_class);

// A config.py without dependencies beyond transformers, for drafters that come without one.
std::string_view MinimalConfigPy();

}  // namespace talon
