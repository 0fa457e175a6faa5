// How a checkpoint's own files say that it is quantized: the forms of `quantization_config` that
// vLLM reads and refuses. Source: specs/nvfp4.md 0.2, 3.2, 3.3, 4.3, 5.1, 5.4.
#pragma once

#include <string>
#include <vector>

#include "talon/base/json.h"

namespace talon {

struct QuantDescription {
  std::string source;  // "config.json quantization_config", "hf_quant_config.json"
  std::string algorithm;
  bool quantizes_activations = false;
  bool compressed_tensors = false;
  std::vector<std::string> ignore;
  std::vector<std::string> faults;  // why vLLM would refuse or misread it

  // True when a runtime module name is to be left unquantized.
  bool Ignores(const std::string& runtime_name) const;
};

// `config` is a config.json's content; its quantization_config may lie at the top or in the model's
// nested config. Empty when there is none.
std::vector<QuantDescription> DescribeConfig(const Json& config);

// `config` is the content of hf_quant_config.json.
QuantDescription DescribeHfQuantConfig(const Json& config);

}  // namespace talon
