// What a checkpoint says about its quantization: `quantization_config` in config.json (ModelOpt's
// flattened and nested forms, compressed-tensors) or ModelOpt's hf_quant_config.json. Weights are
// bound by their tensors, never by this; it serves to refuse formats by name, to report, and to
// check that the declaration agrees with the tensors. Sources: specs/nvfp4.md 3.2, 3.3, 4.3, 5.1.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "talon/base/json.h"

namespace talon {

struct QuantizationConfig {
  std::string method;               // "modelopt" or "compressed-tensors"
  std::string algorithm;            // "NVFP4", "W4A16_NVFP4", "FP8", ...; the CT format otherwise
  std::vector<std::string> ignore;  // modules left unquantized, as the file spells them
  std::string kv_cache;             // "FP8", "NVFP4" or empty
  std::string producer;             // "modelopt 0.43.0" or empty
};

// nullopt when the config declares none. Throws kUnsupported for formats that Talon does not read
// (int4, int8, MXFP4, GPTQ, AWQ, GGUF, ...), naming them.
std::optional<QuantizationConfig> ParseQuantizationConfig(const Json& config,
                                                          const std::string& source);

// The declaration of a checkpoint folder: config.json's, else hf_quant_config.json's.
std::optional<QuantizationConfig> ReadQuantizationConfig(const std::filesystem::path& directory);

}  // namespace talon
