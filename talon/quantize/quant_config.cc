#include "talon/quantize/quant_config.h"

#include <algorithm>
#include <set>

#include "talon/quantize/modelopt_version.h"

namespace talon {
namespace {

// Patterns that would match a quantized module: its name, and every prefix of it with a wildcard.
std::set<std::string> ForbiddenPatterns(const std::vector<std::string>& quantized) {
  std::set<std::string> forbidden;
  for (const std::string& name : quantized) {
    forbidden.insert(name);
    for (size_t length = 0; length <= name.size(); ++length) {
      forbidden.insert(name.substr(0, length) + "*");
    }
  }
  return forbidden;
}

// What may stand for `name`, best first; the patterns of one proposal belong together.
std::vector<std::vector<std::string>> Proposals(const std::string& name) {
  std::vector<std::vector<std::string>> proposals;
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    const std::string prefix = name.substr(0, dot);
    proposals.push_back({prefix + "*"});
    proposals.push_back({prefix, prefix + ".*"});
  }
  proposals.push_back({name});
  return proposals;
}

Json Nvfp4Format() {
  return {{"dynamic", false}, {"num_bits", 4}, {"type", "float"}, {"group_size", 16}};
}

Json Producer() { return {{"name", "modelopt"}, {"version", kModelOptVersion}}; }

}  // namespace

std::vector<std::string> CondenseExcluded(const std::vector<std::string>& quantized,
                                          const std::vector<std::string>& unquantized) {
  const std::set<std::string> forbidden = ForbiddenPatterns(quantized);
  std::set<std::string> accepted;  // with both patterns of a pair
  std::set<std::string> result;    // with the second of a pair
  for (const std::string& name : unquantized) {
    for (const std::vector<std::string>& proposal : Proposals(name)) {
      const auto among = [](const std::set<std::string>& set) {
        return [&set](const std::string& pattern) { return set.contains(pattern); };
      };
      if (std::any_of(proposal.begin(), proposal.end(), among(forbidden))) continue;
      if (!std::all_of(proposal.begin(), proposal.end(), among(accepted))) {
        accepted.insert(proposal.begin(), proposal.end());
        result.insert(proposal.back());
      }
      break;
    }
  }
  return {result.begin(), result.end()};
}

Json MakeQuantizationConfig(const Recipe& recipe, const std::vector<std::string>& excluded) {
  Json group = Json::object();
  if (recipe.quantize_activations) group["input_activations"] = Nvfp4Format();
  group["weights"] = Nvfp4Format();
  group["targets"] = Json::array({"Linear"});
  Json config = Json::object();
  config["config_groups"]["group_0"] = std::move(group);
  config["ignore"] = excluded;
  config["quant_algo"] = recipe.quant_algo();
  config["producer"] = Producer();
  config["quant_method"] = "modelopt";
  return config;
}

Json MakeHfQuantConfig(const Recipe& recipe, const std::vector<std::string>& excluded) {
  Json quantization = Json::object();
  quantization["quant_algo"] = recipe.quant_algo();
  quantization["kv_cache_quant_algo"] = nullptr;
  quantization["group_size"] = 16;
  quantization["exclude_modules"] = excluded;
  Json config = Json::object();
  config["producer"] = Producer();
  config["quantization"] = std::move(quantization);
  return config;
}

void SetAutoMap(Json& config, const ConfigClass& config_class) {
  Json& auto_map = config["auto_map"];
  if (!auto_map.is_object()) auto_map = Json::object();
  const std::string reference = config_class.module + "." + config_class.name;
  auto_map[""] = reference;
  auto_map["AutoConfig"] = reference;
}

std::string_view MinimalConfigPy() {
  return R"py("""Configuration of an EAGLE-3 drafter in the speculators format, for transformers' AutoConfig.

Everything in config.json becomes an attribute; transformer_layer_config describes the drafter's decoder layer.
"""
from transformers import PretrainedConfig


class Eagle3SpeculatorConfig(PretrainedConfig):
    model_type = "speculator_model"

    def __init__(self, transformer_layer_config=None, draft_vocab_size=None, norm_before_residual=True, **kwargs):
        self.transformer_layer_config = transformer_layer_config or {}
        self.draft_vocab_size = draft_vocab_size
        self.norm_before_residual = norm_before_residual
        for name in ("hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size"):
            if name in self.transformer_layer_config:
                kwargs.setdefault(name, self.transformer_layer_config[name])
        super().__init__(**kwargs)
)py";
}

}  // namespace talon
