// The tensors a checkpoint should hold, by name, shape and part: what quantization, the byte ledger
// and the file check agree on. Sources: specs/eagle3.md 1.2, specs/gemma.md 3.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "talon/checkpoint/model_config.h"
#include "talon/checkpoint/safetensors.h"

namespace talon {

enum class ModelPart : uint8_t {
  kEmbedding,
  kFc,
  kAttention,
  kMlp,
  kNorms,
  kLmHead,
  kVocabularyMaps,
  kOther,  // vision, audio and whatever else the text model does not read
};

std::string_view Name(ModelPart part);

// One tensor of the unquantized model.
struct LayoutTensor {
  std::string name;            // e.g. "layers.0.mlp.up_proj.weight"
  std::vector<int64_t> shape;  // unquantized
  ModelPart part = ModelPart::kOther;
  bool is_linear = false;  // a matrix multiplied with activations
  bool required = true;

  // The name without ".weight".
  std::string module() const;
};

// A drafter or a verifier: its parsed config and the tensors that follow from it.
struct ModelLayout {
  std::variant<Eagle3Config, GemmaConfig> config;
  std::map<std::string, LayoutTensor> tensors;

  bool is_drafter() const { return std::holds_alternative<Eagle3Config>(config); }
  const Eagle3Config& drafter() const { return std::get<Eagle3Config>(config); }
  const GemmaConfig& verifier() const { return std::get<GemmaConfig>(config); }
  // "embed_tokens" with the model's prefix.
  std::string embedding_module() const;
};

// The layout of a checkpoint folder whose tensors are `store`. Throws what ReadEagle3Config and
// ReadGemmaConfig throw.
ModelLayout ReadLayout(const std::filesystem::path& directory, const TensorStore& store);

// The layout that follows from a drafter's config alone.
ModelLayout DrafterLayout(Eagle3Config config);

// Linears that read the same input share their scales: q/k/v and gate/up of one layer. Returns the
// group's name ("layers.0.self_attn.qkv"), or the module itself when it stands alone.
std::string ShareGroup(const std::string& module);

}  // namespace talon
