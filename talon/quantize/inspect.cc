#include "talon/quantize/inspect.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "talon/base/error.h"
#include "talon/numeric/nvfp4.h"
#include "talon/quantize/ledger.h"
#include "talon/quantize/quant_description.h"
#include "talon/quantize/stored_modules.h"

namespace talon {
namespace {

Json RopeJson(const RopeConfig& rope) {
  return {{"theta", rope.theta},
          {"partial_rotary_factor", rope.partial_rotary_factor},
          {"factor", rope.factor}};
}

Json DrafterJson(const Eagle3Config& config) {
  Json json = Json::object();
  json["kind"] = "EAGLE-3 drafter";
  json["verifier"] = config.verifier_name_or_path;
  json["hidden_size"] = config.hidden_size;
  json["target_hidden_size"] = config.target_hidden_size;
  json["intermediate_size"] = config.intermediate_size;
  json["num_attention_heads"] = config.num_attention_heads;
  json["num_key_value_heads"] = config.num_kv_heads;
  json["head_dim"] = config.head_dim;
  json["vocab_size"] = config.vocab_size;
  json["draft_vocab_size"] = config.draft_vocab_size;
  json["aux_hidden_state_layer_ids"] = config.aux_layer_ids;
  json["norm_before_residual"] = config.norm_before_residual;
  json["max_position_embeddings"] = config.max_position_embeddings;
  json["rope"] = RopeJson(config.rope);
  json["num_speculative_tokens"] = config.num_speculative_tokens;
  return json;
}

Json AttentionJson(const AttentionConfig& config) {
  return {{"num_key_value_heads", config.num_kv_heads},
          {"head_dim", config.head_dim},
          {"k_eq_v", config.k_eq_v},
          {"rope", RopeJson(config.rope)}};
}

Json VerifierJson(const GemmaConfig& config) {
  const auto num_full =
      std::count(config.layer_types.begin(), config.layer_types.end(), AttentionKind::kFull);
  Json json = Json::object();
  json["kind"] = config.family == GemmaFamily::kGemma3 ? "Gemma 3" : "Gemma 4";
  json["num_layers"] = config.num_layers();
  json["num_full_attention_layers"] = num_full;
  json["hidden_size"] = config.hidden_size;
  json["intermediate_size"] = config.intermediate_size;
  json["num_attention_heads"] = config.num_attention_heads;
  json["vocab_size"] = config.vocab_size;
  json["sliding_window"] = config.sliding_window;
  json["sliding_attention"] = AttentionJson(config.sliding);
  json["full_attention"] = AttentionJson(config.full);
  json["final_logit_softcap"] = config.final_logit_softcap;
  json["max_position_embeddings"] = config.max_position_embeddings;
  return json;
}

Json ArchitectureJson(const ModelFiles& files) {
  return files.layout.is_drafter() ? DrafterJson(files.layout.drafter())
                                   : VerifierJson(files.layout.verifier());
}

std::optional<float> Scalar(const StoredModule& module, const char* suffix) {
  const TensorView* tensor = module.Find(suffix);
  if (tensor == nullptr || tensor->dtype != DType::kF32 || tensor->num_elements() != 1) {
    return std::nullopt;
  }
  float value = 0.0f;
  std::memcpy(&value, tensor->bytes.data(), sizeof(value));
  return value;
}

// What multiplies the whole weight, and what one unit of quantized input stands for.
struct Scales {
  std::optional<float> weight;
  std::optional<float> input;
};

Scales ReadScales(const StoredModule& module) {
  if (module.format() != StoredFormat::kCompressedTensors) {
    const char* suffix =
        module.format() == StoredFormat::kNvfp4 ? "weight_scale_2" : "weight_scale";
    return {Scalar(module, suffix), Scalar(module, "input_scale")};
  }
  Scales scales = {Scalar(module, "weight_global_scale"), Scalar(module, "input_global_scale")};
  for (std::optional<float>* scale : {&scales.weight, &scales.input}) {
    if (*scale) *scale = 1.0f / **scale;
  }
  return scales;
}

Json DeclarationsJson(const ModelFiles& files) {
  std::vector<QuantDescription> descriptions = DescribeConfig(files.config);
  const std::filesystem::path path = files.path / "hf_quant_config.json";
  if (std::filesystem::exists(path)) {
    descriptions.push_back(DescribeHfQuantConfig(ReadJsonFile(path)));
  }
  Json declarations = Json::array();
  for (const QuantDescription& description : descriptions) {
    declarations.push_back({{"source", description.source},
                            {"algorithm", description.algorithm},
                            {"quantizes_activations", description.quantizes_activations},
                            {"ignore", description.ignore}});
  }
  return declarations;
}

// "layers.*.mlp.up_proj" for "layers.17.mlp.up_proj".
std::string KindOfLinear(const std::string& module) {
  std::string kind;
  for (size_t begin = 0; begin <= module.size();) {
    const size_t dot = std::min(module.find('.', begin), module.size());
    const std::string part = module.substr(begin, dot - begin);
    const bool number = !part.empty() && std::all_of(part.begin(), part.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
    if (!kind.empty()) kind += '.';
    kind += number ? "*" : part;
    begin = dot + 1;
  }
  return kind;
}

struct KindSummary {
  int64_t count = 0;
  std::string formats;
  float smallest_input_range = 0.0f;  // 0: no input scale
  float largest_input_range = 0.0f;
};

std::string QuantizationText(const ModelFiles& files) {
  std::map<std::string, KindSummary> kinds;
  for (const auto& [name, module] : GatherModules(files.store)) {
    const auto found = files.layout.tensors.find(name + ".weight");
    if (found == files.layout.tensors.end() || !found->second.is_linear) continue;
    KindSummary& kind = kinds[KindOfLinear(name)];
    ++kind.count;
    const std::string format = module.FormatName();
    if (kind.formats.find(format) == std::string::npos) {
      if (!kind.formats.empty()) kind.formats += ", ";
      kind.formats += format;
    }
    const std::optional<float> input = ReadScales(module).input;
    if (!input) continue;
    const float range = *input * kNvfp4Range;
    kind.largest_input_range = std::max(kind.largest_input_range, range);
    kind.smallest_input_range =
        kind.smallest_input_range == 0.0f ? range : std::min(kind.smallest_input_range, range);
  }
  std::string text =
      fmt::format("{:<36} {:>5}  {:<12}  {}\n", "linear", "count", "format", "input range");
  for (const auto& [name, kind] : kinds) {
    std::string range = "-";
    if (kind.largest_input_range > 0.0f) {
      range = kind.smallest_input_range == kind.largest_input_range
                  ? fmt::format("{:.6g}", kind.largest_input_range)
                  : fmt::format("{:.6g} to {:.6g}", kind.smallest_input_range,
                                kind.largest_input_range);
    }
    text += fmt::format("{:<36} {:>5}  {:<12}  {}\n", name, kind.count, kind.formats, range);
  }
  return text;
}

std::string ValueText(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

std::string InspectText(const ModelFiles& files) {
  std::string text = fmt::format("{}\n\n", files.path.string());
  const Json architecture = ArchitectureJson(files);
  for (const auto& [key, value] : architecture.items()) {
    text += fmt::format("{:<28} {}\n", key, ValueText(value));
  }
  text += fmt::format("\n{}\n{}", FormatLedger(MakeLedger(files), /*compare=*/false),
                      QuantizationText(files));
  for (const Json& declaration : DeclarationsJson(files)) {
    text += fmt::format("\n{}: {}, activations {}, ignores {}", ValueText(declaration["source"]),
                        ValueText(declaration["algorithm"]),
                        declaration["quantizes_activations"].get<bool>() ? "quantized" : "plain",
                        declaration["ignore"].dump());
  }
  return text + "\n";
}

Json InspectJson(const ModelFiles& files) {
  Json json = Json::object();
  json["path"] = files.path.string();
  json["architecture"] = ArchitectureJson(files);
  json["ledger"] = LedgerJson(MakeLedger(files));
  json["declared"] = DeclarationsJson(files);
  Json& linears = json["linears"] = Json::object();
  for (const auto& [name, module] : GatherModules(files.store)) {
    const auto found = files.layout.tensors.find(name + ".weight");
    if (found == files.layout.tensors.end() || !found->second.is_linear) continue;
    Json& linear = linears[name];
    linear["format"] = module.FormatName();
    linear["shape"] = found->second.shape;
    const Scales scales = ReadScales(module);
    if (scales.weight) linear["weight_scale"] = *scales.weight;
    if (scales.input) linear["input_scale"] = *scales.input;
  }
  return json;
}

}  // namespace talon
