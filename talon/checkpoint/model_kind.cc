#include "talon/checkpoint/model_kind.h"

#include "talon/base/error.h"
#include "talon/checkpoint/config_reader.h"

namespace talon {

ModelKind KindOf(const Json& json) {
  if (!json.is_object()) return ModelKind::kUnknown;
  const ConfigReader config(json, "config.json");
  // Any speculator: the drafter parser names the kinds that are not EAGLE-3.
  if (config.Has("speculators_model_type")) return ModelKind::kEagle3Drafter;
  const Json* architectures = config.Find("architectures");
  if (architectures != nullptr && architectures->is_array()) {
    for (const Json& name : *architectures) {
      if (name.is_string() && name.get<std::string>().find("Eagle3") != std::string::npos) {
        return ModelKind::kEagle3Drafter;
      }
    }
  }
  const Json* type = config.Find("model_type");
  const bool gemma =
      type != nullptr && type->is_string() && type->get<std::string>().starts_with("gemma");
  return gemma ? ModelKind::kGemma : ModelKind::kUnknown;
}

ModelKind DetectModelKind(const std::filesystem::path& directory) {
  return KindOf(ReadJsonFile(directory / "config.json"));
}

}  // namespace talon
