// Gemma 3 text and Gemma 4 dense configs, flat or nested in a multimodal config (whose vision and
// audio parts are ignored). Defaults are those of the transformers config classes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

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

constexpr char kSupportedModels[] =
    "Talon runs Gemma 3 text models and dense Gemma 4 models (model_type gemma3, gemma3_text, "
    "gemma4 "
    "or gemma4_text)";

GemmaFamily ParseFamily(const ConfigReader& config) {
  const std::string type = config.StringOr("model_type", "");
  if (type == "gemma3" || type == "gemma3_text") return GemmaFamily::kGemma3;
  if (type == "gemma4" || type == "gemma4_text") return GemmaFamily::kGemma4;
  config.Unsupported("model_type", kSupportedModels);
}

bool IsFull(const ConfigReader& text, const std::string& type) {
  if (type != "full_attention" && type != "sliding_attention") {
    text.Unsupported("layer_types", "supported are sliding_attention and full_attention");
  }
  return type == "full_attention";
}

std::vector<AttentionKind> ParseLayerTypes(const ConfigReader& text, GemmaFamily family) {
  const int64_t num_layers = text.Integer("num_hidden_layers", 1, kMaxLayers);
  std::vector<AttentionKind> layers(static_cast<size_t>(num_layers), AttentionKind::kSliding);
  const std::vector<std::string> names = text.StringsOrEmpty("layer_types");
  if (names.empty()) {
    const char* key =
        text.Has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
    const int64_t period =
        family == GemmaFamily::kGemma3 ? text.IntegerOr(key, 6, 1, kMaxLayers) : 6;
    for (int64_t i = period - 1; i < num_layers; i += period) {
      layers[static_cast<size_t>(i)] = AttentionKind::kFull;
    }
  } else if (names.size() != layers.size()) {
    Throw(ErrorCode::kDataLoss, "{}: {} entries, but num_hidden_layers is {}",
          text.Where("layer_types"), names.size(), num_layers);
  }
  for (size_t i = 0; i < names.size(); ++i) {
    if (IsFull(text, names[i])) layers[i] = AttentionKind::kFull;
  }
  // transformers does the same, whatever the file says.
  if (family == GemmaFamily::kGemma4) layers.back() = AttentionKind::kFull;
  return layers;
}

// Head size and KV heads that the newer `per_layer_config` map gives one layer.
struct LayerShape {
  int64_t head_dim;
  int64_t num_kv_heads;
  bool operator==(const LayerShape&) const = default;
};

LayerShape ParseLayerShape(const ConfigReader& map, const std::string& layer, LayerShape shape) {
  if (!map.Has(layer)) return shape;
  const ConfigReader overrides = map.Object(layer);
  for (const auto& [key, value] : overrides.json().items()) {
    if (key != "head_dim" && key != "num_key_value_heads") {
      overrides.Unsupported(key, "per-layer overrides of head_dim and num_key_value_heads only");
    }
  }
  shape.head_dim = overrides.IntegerOr("head_dim", shape.head_dim, 1, kMaxWidth);
  shape.num_kv_heads = overrides.IntegerOr("num_key_value_heads", shape.num_kv_heads, 1, kMaxWidth);
  return shape;
}

// All layers of one kind must share a shape: the full layers may differ from the base, no other.
void ParsePerLayerConfig(const ConfigReader& text, GemmaConfig* config) {
  const ConfigReader map = text.Object("per_layer_config");
  const LayerShape base = {config->sliding.head_dim, config->sliding.num_kv_heads};
  std::optional<LayerShape> full;
  size_t num_overrides = 0;
  for (size_t i = 0; i < config->layer_types.size(); ++i) {
    const std::string layer = std::to_string(i);
    if (map.json().contains(layer)) ++num_overrides;
    const LayerShape shape = ParseLayerShape(map, layer, base);
    const bool is_full = config->layer_types[i] == AttentionKind::kFull;
    if (is_full && !full) full = shape;
    if (shape != (is_full ? *full : base)) {
      Throw(ErrorCode::kUnsupported, "{}: layer {} differs from the other {} layers",
            text.Where("per_layer_config"), i, is_full ? "full_attention" : "sliding_attention");
    }
  }
  if (num_overrides != map.json().size()) {
    Throw(ErrorCode::kDataLoss, "{}: has keys that are no layer from 0 to {}",
          text.Where("per_layer_config"), config->layer_types.size() - 1);
  }
  config->full.head_dim = full.value_or(base).head_dim;
  config->full.num_kv_heads = full.value_or(base).num_kv_heads;
}

void ParseGemma4Attention(const ConfigReader& text, GemmaConfig* config) {
  config->sliding.num_kv_heads = text.IntegerOr("num_key_value_heads", 4, 1, kMaxWidth);
  config->sliding.head_dim = text.IntegerOr("head_dim", 256, 1, kMaxWidth);
  config->full.k_eq_v = text.BoolOr("attention_k_eq_v", false);
  if (text.Has("per_layer_config")) {
    ParsePerLayerConfig(text, config);
    return;
  }
  config->full.head_dim = text.IntegerOr("global_head_dim", 512, 1, kMaxWidth);
  config->full.num_kv_heads = config->sliding.num_kv_heads;
  // transformers honours this field only together with attention_k_eq_v.
  if (config->full.k_eq_v) {
    config->full.num_kv_heads =
        text.IntegerOr("num_global_key_value_heads", config->sliding.num_kv_heads, 1, kMaxWidth);
  }
}

void ParseGemma3Attention(const ConfigReader& text, GemmaConfig* config) {
  config->sliding.num_kv_heads = text.IntegerOr("num_key_value_heads", 4, 1, kMaxWidth);
  config->sliding.head_dim = text.IntegerOr("head_dim", 256, 1, kMaxWidth);
  config->full = config->sliding;
  config->attention_scale = 1.0 / std::sqrt(text.PositiveNumberOr("query_pre_attn_scalar", 256));
}

void CheckHeads(const ConfigReader& text, const GemmaConfig& config) {
  for (const AttentionConfig* attention : {&config.sliding, &config.full}) {
    if (config.num_attention_heads % attention->num_kv_heads != 0) {
      Throw(ErrorCode::kDataLoss, "{}: {} query heads are no multiple of {} key/value heads",
            text.Where("num_attention_heads"), config.num_attention_heads, attention->num_kv_heads);
    }
    if (attention->head_dim % 2 != 0) {
      Throw(ErrorCode::kDataLoss, "{}: {}, expected an even number", text.Where("head_dim"),
            attention->head_dim);
    }
  }
}

// Special tokens: the outer config of a multimodal model speaks for generation.
void ParseTokens(const ConfigReader& outer, const ConfigReader& text, GemmaConfig* config) {
  config->bos_token_id = static_cast<int32_t>(outer.IntegerOr(
      "bos_token_id", text.IntegerOr("bos_token_id", 2, 0, kMaxTokens), 0, kMaxTokens));
  const ConfigReader& speaker = outer.Has("eos_token_id") ? outer : text;
  for (const int64_t id : speaker.IntegersOrEmpty("eos_token_id", 0, kMaxTokens)) {
    config->eos_token_ids.push_back(static_cast<int32_t>(id));
  }
  if (config->eos_token_ids.empty()) config->eos_token_ids = {1};
}

}  // namespace

GemmaConfig ParseGemmaConfig(const Json& json, const std::string& source) {
  const ConfigReader outer(json, source);
  GemmaConfig config;
  config.family = ParseFamily(outer);
  const bool nested = outer.Has("text_config");
  const ConfigReader text = nested ? outer.Object("text_config") : outer;
  if (text.Has("model_type") && ParseFamily(text) != config.family) {
    text.Unsupported("model_type", "it differs from the outer model_type");
  }
  ParseQuantizationConfig(outer.json(), source);
  CheckGemmaFixedFields(outer);
  CheckGemmaFixedFields(text);
  // A Gemma 4 file without the field means the class default of 256, an E2B or E4B.
  if (config.family == GemmaFamily::kGemma4 && !text.Has("hidden_size_per_layer_input")) {
    text.Unsupported("hidden_size_per_layer_input",
                     "absent means 256 (Gemma 4 E2B or E4B, not supported); a dense model has 0");
  }

  const bool gemma3 = config.family == GemmaFamily::kGemma3;
  config.tensor_prefix = nested ? "model.language_model." : "model.";
  config.hidden_size = text.Integer("hidden_size", 1, kMaxWidth);
  config.intermediate_size = text.Integer("intermediate_size", 1, kMaxWidth);
  config.vocab_size = text.IntegerOr("vocab_size", gemma3 ? 262208 : 262144, 1, kMaxTokens);
  config.num_attention_heads = text.IntegerOr("num_attention_heads", 8, 1, kMaxWidth);
  config.max_position_embeddings = text.IntegerOr("max_position_embeddings", 131072, 1, kMaxTokens);
  config.sliding_window = text.IntegerOr("sliding_window", gemma3 ? 4096 : 512, 1, kMaxTokens);
  config.layer_types = ParseLayerTypes(text, config.family);
  config.rms_norm_eps = text.PositiveNumberOr("rms_norm_eps", 1e-6);
  config.final_logit_softcap = text.PositiveNumberOr("final_logit_softcapping", 0.0);
  gemma3 ? ParseGemma3Attention(text, &config) : ParseGemma4Attention(text, &config);
  CheckHeads(text, config);
  ParseGemmaRope(text, config.family, &config.sliding.rope, &config.full.rope);
  ParseTokens(outer, text, &config);
  return config;
}

}  // namespace talon
