// EAGLE-3 drafter configs: the speculators form (a Llama layer config inside speculator settings)
// and the plain form (Llama fields at the top). vLLM's readings decide where the two differ.
#include <algorithm>
#include <limits>

#include "talon/checkpoint/config_reader.h"
#include "talon/checkpoint/fixed_fields.h"
#include "talon/checkpoint/model_config.h"
#include "talon/checkpoint/quantization_config.h"
#include "talon/checkpoint/rope_config.h"

namespace talon {
namespace {

constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxTokens = std::numeric_limits<int32_t>::max();

// Throws unless the attention of every layer sees the whole context.
void CheckFullAttention(const ConfigReader& layer) {
  const std::vector<std::string> types = layer.StringsOrEmpty("layer_types");
  for (const std::string& type : types) {
    if (type != "full_attention") {
      layer.Unsupported("layer_types", "drafters with a sliding window are not supported");
    }
  }
  const bool all_full = !types.empty() || !layer.BoolOr("use_sliding_window", true);
  if (layer.Has("sliding_window") && !all_full) {
    layer.Unsupported("sliding_window", "drafters with a sliding window are not supported");
  }
}

// The fields of the one Llama layer and its surroundings.
void ParseLlamaFields(const ConfigReader& layer, Eagle3Config* config) {
  if (layer.StringOr("model_type", "llama") != "llama") {
    layer.Unsupported("model_type", "drafters with a llama layer only are supported");
  }
  CheckDrafterFixedFields(layer);
  CheckFullAttention(layer);
  config->hidden_size = layer.Integer("hidden_size", 1, kMaxWidth);
  config->intermediate_size = layer.Integer("intermediate_size", 1, kMaxWidth);
  config->num_attention_heads = layer.Integer("num_attention_heads", 1, kMaxWidth);
  config->num_kv_heads =
      layer.IntegerOr("num_key_value_heads", config->num_attention_heads, 1, kMaxWidth);
  config->head_dim =
      layer.IntegerOr("head_dim", config->hidden_size / config->num_attention_heads, 1, kMaxWidth);
  config->vocab_size = layer.Integer("vocab_size", 1, kMaxTokens);
  config->max_position_embeddings = layer.IntegerOr("max_position_embeddings", 2048, 1, kMaxTokens);
  config->rms_norm_eps = layer.PositiveNumberOr("rms_norm_eps", 1e-6);
  config->rope = ParseLlamaRope(layer);
  if (config->num_attention_heads % config->num_kv_heads != 0) {
    Throw(ErrorCode::kDataLoss, "{}: {} query heads are no multiple of {} key/value heads",
          layer.Where("num_attention_heads"), config->num_attention_heads, config->num_kv_heads);
  }
  if (config->head_dim < 2 || config->head_dim % 2 != 0) {
    Throw(ErrorCode::kDataLoss, "{}: {}, expected an even number", layer.Where("head_dim"),
          config->head_dim);
  }
}

void ParseAuxLayers(const ConfigReader& holder, Eagle3Config* config) {
  constexpr char kKey[] = "eagle_aux_hidden_state_layer_ids";
  std::vector<int64_t> ids = holder.IntegersOrEmpty(kKey, 0, kMaxLayers);
  // Features are concatenated in layer order, whatever the order of the list.
  std::sort(ids.begin(), ids.end());
  if (std::adjacent_find(ids.begin(), ids.end()) != ids.end()) {
    Throw(ErrorCode::kDataLoss, "{}: a layer is listed twice", holder.Where(kKey));
  }
  if (!ids.empty()) config->aux_layer_ids = std::move(ids);
}

// What EAGLE-3 adds to the Llama fields. `norm_before_residual` is the form's default.
void ParseEagleFields(const ConfigReader& top, bool norm_before_residual, Eagle3Config* config) {
  config->draft_vocab_size =
      top.IntegerOr("draft_vocab_size", config->vocab_size, 1, config->vocab_size);
  config->target_hidden_size =
      top.IntegerOr("target_hidden_size", config->hidden_size, 1, kMaxWidth);
  if (top.json().contains("norm_before_residual") && !top.Has("norm_before_residual")) {
    top.Unsupported("norm_before_residual", "loaders disagree about null; write true or false");
  }
  config->norm_before_residual = top.BoolOr("norm_before_residual", norm_before_residual);
  config->norm_before_fc = top.BoolOr("norm_before_fc", false);
  config->fc_norm = top.BoolOr("fc_norm", false);
  config->norm_output = top.BoolOr("norm_output", false);
  if (config->fc_norm && config->norm_before_fc) {
    Throw(ErrorCode::kDataLoss, "{}: true together with 'norm_before_fc'; they exclude each other",
          top.Where("fc_norm"));
  }
  ParseAuxLayers(top, config);
}

Eagle3Config ParseSpeculatorsForm(const ConfigReader& top) {
  if (top.StringOr("speculators_model_type", "") != "eagle3") {
    top.Unsupported("speculators_model_type", "eagle3 is the only supported kind of speculator");
  }
  Eagle3Config config;
  ParseLlamaFields(top.Object("transformer_layer_config"), &config);
  ParseEagleFields(top, /*norm_before_residual=*/true, &config);
  if (!top.Has("speculators_config")) return config;
  const ConfigReader speculators = top.Object("speculators_config");
  if (speculators.StringOr("algorithm", "eagle3") != "eagle3") {
    speculators.Unsupported("algorithm", "eagle3 is the only supported algorithm");
  }
  if (speculators.Has("verifier")) {
    config.verifier_name_or_path = speculators.Object("verifier").StringOr("name_or_path", "");
  }
  // Only the first method counts.
  const Json* methods = speculators.Find("proposal_methods");
  if (methods != nullptr && methods->is_array() && !methods->empty()) {
    const ConfigReader method((*methods)[0], top.source(),
                              "speculators_config.proposal_methods.0.");
    config.num_speculative_tokens = method.IntegerOr("speculative_tokens", 0, 0, kMaxLayers);
  }
  return config;
}

Eagle3Config ParsePlainForm(const ConfigReader& top) {
  const std::vector<std::string> architectures = top.StringsOrEmpty("architectures");
  const auto is_llama_eagle3 = [](const std::string& name) {
    return name == "LlamaForCausalLMEagle3" || name == "Eagle3LlamaForCausalLM";
  };
  if (!std::any_of(architectures.begin(), architectures.end(), is_llama_eagle3)) {
    top.Unsupported(
        "architectures",
        "expected an EAGLE-3 drafter: speculators_model_type eagle3, or the architecture "
        "LlamaForCausalLMEagle3 or Eagle3LlamaForCausalLM");
  }
  Eagle3Config config;
  ParseLlamaFields(top, &config);
  ParseEagleFields(top, /*norm_before_residual=*/false, &config);
  if (top.Has("eagle_config")) {
    const ConfigReader eagle = top.Object("eagle_config");
    CheckEagleConfigFields(eagle);
    ParseAuxLayers(eagle, &config);
  }
  return config;
}

}  // namespace

Eagle3Config ParseEagle3Config(const Json& json, const std::string& source) {
  const ConfigReader top(json, source);
  ParseQuantizationConfig(json, source);
  return top.Has("speculators_model_type") ? ParseSpeculatorsForm(top) : ParsePlainForm(top);
}

std::vector<int64_t> DefaultAuxLayerIds(int64_t num_layers) {
  return {2, num_layers / 2, num_layers - 3};
}

}  // namespace talon
