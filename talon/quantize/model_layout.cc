#include "talon/quantize/model_layout.h"

#include "talon/base/error.h"
#include "talon/checkpoint/model_kind.h"
#include "talon/checkpoint/read_config.h"

namespace talon {
namespace {

constexpr std::string_view kWeight = ".weight";

class LayoutBuilder {
 public:
  explicit LayoutBuilder(std::map<std::string, LayoutTensor>& tensors) : tensors_(tensors) {}

  void Linear(const std::string& module, int64_t out, int64_t in, ModelPart part) {
    Add({module + ".weight", {out, in}, part, /*is_linear=*/true, /*required=*/true});
  }
  void Vector(const std::string& name, int64_t size, ModelPart part) {
    Add({name, {size}, part, /*is_linear=*/false, /*required=*/true});
  }
  void Add(LayoutTensor tensor) {
    const std::string name = tensor.name;
    tensors_.insert_or_assign(name, std::move(tensor));
  }

 private:
  std::map<std::string, LayoutTensor>& tensors_;
};

void AddMlp(LayoutBuilder& builder, const std::string& layer, int64_t hidden,
            int64_t intermediate) {
  builder.Linear(layer + "mlp.gate_proj", intermediate, hidden, ModelPart::kMlp);
  builder.Linear(layer + "mlp.up_proj", intermediate, hidden, ModelPart::kMlp);
  builder.Linear(layer + "mlp.down_proj", hidden, intermediate, ModelPart::kMlp);
}

std::map<std::string, LayoutTensor> DrafterTensors(const Eagle3Config& config) {
  std::map<std::string, LayoutTensor> tensors;
  LayoutBuilder builder(tensors);
  const int64_t hidden = config.hidden_size;
  const int64_t features =
      config.aux_layer_ids.empty() ? 3 : static_cast<int64_t>(config.aux_layer_ids.size());
  const std::string& layer = config.layer_prefix;
  builder.Add({"embed_tokens.weight",
               {config.vocab_size, hidden},
               ModelPart::kEmbedding,
               /*is_linear=*/false,
               /*required=*/false});
  builder.Linear("fc", hidden, features * config.target_hidden_size, ModelPart::kFc);
  const int64_t q_size = config.num_attention_heads * config.head_dim;
  const int64_t kv_size = config.num_kv_heads * config.head_dim;
  builder.Linear(layer + "self_attn.q_proj", q_size, 2 * hidden, ModelPart::kAttention);
  builder.Linear(layer + "self_attn.k_proj", kv_size, 2 * hidden, ModelPart::kAttention);
  builder.Linear(layer + "self_attn.v_proj", kv_size, 2 * hidden, ModelPart::kAttention);
  builder.Linear(layer + "self_attn.o_proj", hidden, q_size, ModelPart::kAttention);
  AddMlp(builder, layer, hidden, config.intermediate_size);
  for (const char* norm : {"input_layernorm", "hidden_norm", "post_attention_layernorm"}) {
    builder.Vector(layer + norm + ".weight", hidden, ModelPart::kNorms);
  }
  builder.Vector("norm.weight", hidden, ModelPart::kNorms);
  if (config.norm_before_fc) {
    builder.Vector("input_norm.weight", features * config.target_hidden_size, ModelPart::kNorms);
  }
  for (int64_t i = 0; config.fc_norm && i < features; ++i) {
    builder.Vector(fmt::format("fc_norm.{}.weight", i), config.target_hidden_size,
                   ModelPart::kNorms);
  }
  builder.Linear("lm_head", config.draft_vocab_size, hidden, ModelPart::kLmHead);
  const bool maps = config.draft_vocab_size != config.vocab_size;
  builder.Add({"d2t", {config.draft_vocab_size}, ModelPart::kVocabularyMaps, false, maps});
  builder.Add({"t2d", {config.vocab_size}, ModelPart::kVocabularyMaps, false, false});
  return tensors;
}

void AddGemmaLayer(LayoutBuilder& builder, const GemmaConfig& config, int64_t index) {
  const std::string layer = fmt::format("{}layers.{}.", config.tensor_prefix, index);
  const AttentionConfig& attention = config.attention(index);
  const int64_t hidden = config.hidden_size;
  const int64_t q_size = config.num_attention_heads * attention.head_dim;
  const int64_t kv_size = attention.num_kv_heads * attention.head_dim;
  builder.Linear(layer + "self_attn.q_proj", q_size, hidden, ModelPart::kAttention);
  builder.Linear(layer + "self_attn.k_proj", kv_size, hidden, ModelPart::kAttention);
  if (!attention.k_eq_v) {
    builder.Linear(layer + "self_attn.v_proj", kv_size, hidden, ModelPart::kAttention);
  }
  builder.Linear(layer + "self_attn.o_proj", hidden, q_size, ModelPart::kAttention);
  AddMlp(builder, layer, hidden, config.intermediate_size);
  for (const char* norm : {"input_layernorm", "post_attention_layernorm",
                           "pre_feedforward_layernorm", "post_feedforward_layernorm"}) {
    builder.Vector(layer + norm + ".weight", hidden, ModelPart::kNorms);
  }
  for (const char* norm : {"self_attn.q_norm", "self_attn.k_norm"}) {
    builder.Vector(layer + norm + ".weight", attention.head_dim, ModelPart::kNorms);
  }
  if (config.family == GemmaFamily::kGemma4) {
    builder.Vector(layer + "layer_scalar", 1, ModelPart::kNorms);
  }
}

std::map<std::string, LayoutTensor> VerifierTensors(const GemmaConfig& config) {
  std::map<std::string, LayoutTensor> tensors;
  LayoutBuilder builder(tensors);
  const std::vector<int64_t> table = {config.vocab_size, config.hidden_size};
  builder.Add({config.tensor_prefix + "embed_tokens.weight", table, ModelPart::kEmbedding,
               /*is_linear=*/false, /*required=*/true});
  for (int64_t i = 0; i < config.num_layers(); ++i) AddGemmaLayer(builder, config, i);
  builder.Vector(config.tensor_prefix + "norm.weight", config.hidden_size, ModelPart::kNorms);
  // Tied to the embedding, but some files hold it as well.
  builder.Add(
      {"lm_head.weight", table, ModelPart::kLmHead, /*is_linear=*/true, /*required=*/false});
  return tensors;
}

}  // namespace

std::string_view Name(ModelPart part) {
  switch (part) {
    case ModelPart::kEmbedding:
      return "embed_tokens";
    case ModelPart::kFc:
      return "fc";
    case ModelPart::kAttention:
      return "attention";
    case ModelPart::kMlp:
      return "mlp";
    case ModelPart::kNorms:
      return "norms";
    case ModelPart::kLmHead:
      return "lm_head";
    case ModelPart::kVocabularyMaps:
      return "d2t, t2d";
    case ModelPart::kOther:
      return "other";
  }
  return "?";
}

std::string LayoutTensor::module() const {
  return name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
}

std::string ModelLayout::embedding_module() const {
  return (is_drafter() ? std::string() : verifier().tensor_prefix) + "embed_tokens";
}

ModelLayout DrafterLayout(Eagle3Config config) {
  ModelLayout layout;
  layout.tensors = DrafterTensors(config);
  layout.config = std::move(config);
  return layout;
}

ModelLayout ReadLayout(const std::filesystem::path& directory, const TensorStore& store) {
  if (DetectModelKind(directory) == ModelKind::kEagle3Drafter) {
    return DrafterLayout(ReadEagle3Config(directory, store));
  }
  ModelLayout layout;
  layout.config = ReadGemmaConfig(directory, store);
  layout.tensors = VerifierTensors(layout.verifier());
  return layout;
}

std::string ShareGroup(const std::string& module) {
  const size_t dot = module.rfind('.');
  if (dot == std::string::npos) return module;
  const std::string parent = module.substr(0, dot + 1);
  const std::string name = module.substr(dot + 1);
  if (name == "q_proj" || name == "k_proj" || name == "v_proj") return parent + "qkv";
  if (name == "gate_proj" || name == "up_proj") return parent + "gate_up";
  return module;
}

}  // namespace talon
