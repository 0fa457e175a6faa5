#include "talon/checkpoint/read_config.h"

#include "talon/base/error.h"
#include "talon/base/json.h"
#include "talon/checkpoint/tensor_names.h"

namespace talon {
namespace {

// The config field that a tensor needs, or nullptr when it is announced or harmless.
const char* UnannouncedField(const std::string& name, const Eagle3Config& config) {
  if (name == "input_norm.weight" && !config.norm_before_fc) return "norm_before_fc";
  if (name.starts_with("fc_norm.") && !config.fc_norm) return "fc_norm";
  if (name.starts_with("layers.1.")) return "num_hidden_layers";
  if (name.ends_with(".q_norm.weight") || name.ends_with(".k_norm.weight")) return "model_type";
  return nullptr;
}

}  // namespace

GemmaConfig ReadGemmaConfig(const std::filesystem::path& directory, const TensorStore& store) {
  const std::filesystem::path path = directory / "config.json";
  GemmaConfig config = ParseGemmaConfig(ReadJsonFile(path), path.string());
  config.tensor_prefix = GemmaTensorPrefix(store);
  return config;
}

Eagle3Config ReadEagle3Config(const std::filesystem::path& directory, const TensorStore& store) {
  const std::filesystem::path path = directory / "config.json";
  Eagle3Config config = ParseEagle3Config(ReadJsonFile(path), path.string());
  config.layer_prefix = DrafterLayerPrefix(store);
  for (const auto& [name, tensor] : store.tensors()) {
    if (const char* field = UnannouncedField(name, config)) {
      Throw(ErrorCode::kUnsupported,
            "{}: does not fit field '{}' of {}; the drafter needs this tensor, so it cannot be "
            "ignored",
            tensor.Where(), field, path.string());
    }
  }
  return config;
}

}  // namespace talon
