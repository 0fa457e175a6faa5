// What Talon needs to know of a model, read from Hugging Face config files. Anything in a config
// that changes the mathematics and is not supported is an error naming the field. Sources:
// specs/gemma.md 1, specs/eagle3.md 1.1.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "talon/base/json.h"

namespace talon {

struct RopeConfig {
  double theta = 10000.0;
  // Share of the head's lanes that rotate (Gemma 4 "proportional": frequencies over the whole head,
  // zero beyond the share). 1 for the default kind.
  double partial_rotary_factor = 1.0;
  // Divides every frequency (rope type "linear").
  double factor = 1.0;
};

enum class AttentionKind : uint8_t { kSliding, kFull };

// Shape of attention in one kind of layer.
struct AttentionConfig {
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  bool k_eq_v = false;  // V is the raw k_proj output (Gemma 4 full layers)
  RopeConfig rope;
};

enum class GemmaFamily : uint8_t { kGemma3, kGemma4 };

struct GemmaConfig {
  GemmaFamily family = GemmaFamily::kGemma4;
  // "model.", "model.language_model." or "language_model.model."; the config alone tells only the
  // usual one, tensor_names.h finds the one in the file.
  std::string tensor_prefix;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
  int64_t num_attention_heads = 0;
  int64_t max_position_embeddings = 0;
  int64_t sliding_window = 0;
  std::vector<AttentionKind> layer_types;  // [num_layers]
  AttentionConfig sliding;
  AttentionConfig full;
  double rms_norm_eps = 1e-6;
  double attention_scale = 1.0;      // multiplies q.k; Gemma 3: query_pre_attn_scalar^-0.5
  double final_logit_softcap = 0.0;  // 0: none
  int32_t bos_token_id = 2;
  std::vector<int32_t> eos_token_ids;

  int64_t num_layers() const { return static_cast<int64_t>(layer_types.size()); }
  const AttentionConfig& attention(int64_t layer) const {
    return layer_types[static_cast<size_t>(layer)] == AttentionKind::kFull ? full : sliding;
  }
};

struct Eagle3Config {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_attention_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;        // the verifier's
  int64_t draft_vocab_size = 0;  // rows of lm_head
  int64_t target_hidden_size = 0;
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  RopeConfig rope;
  bool norm_before_residual = true;
  bool norm_before_fc = false;
  bool fc_norm = false;
  bool norm_output = false;
  std::vector<int64_t>
      aux_layer_ids;  // ascending; empty when the file has none (use the default rule)
  int64_t num_speculative_tokens = 0;  // proposal_methods[0]; 0 when absent
  std::string verifier_name_or_path;
  std::string layer_prefix = "layers.0.";  // "midlayer." in older files; see tensor_names.h
};

// Parse a config.json. `source` names the file in errors. Unsupported architectures (E2B/E4B, MoE,
// int4, GGUF, ...) throw kUnsupported by name.
GemmaConfig ParseGemmaConfig(const Json& config, const std::string& source);
Eagle3Config ParseEagle3Config(const Json& config, const std::string& source);

// vLLM's default rule when a speculators config has null aux ids: (2, L / 2, L - 3).
std::vector<int64_t> DefaultAuxLayerIds(int64_t num_layers);

// generation_config.json (all fields optional; absent file: defaults).
struct GenerationConfig {
  bool do_sample = false;
  double temperature = 1.0;
  int64_t top_k = 0;
  double top_p = 1.0;
  std::vector<int32_t> eos_token_ids;
};
GenerationConfig ReadGenerationConfig(const std::filesystem::path& directory);

}  // namespace talon
