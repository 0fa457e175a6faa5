#include "talon/checkpoint/fixed_fields.h"

#include <algorithm>
#include <initializer_list>
#include <vector>

namespace talon {
namespace {

struct FixedField {
  const char* key;
  std::vector<Json> allowed;  // besides absent and null
  const char* why;
};

void Check(const ConfigReader& config, std::initializer_list<FixedField> fields) {
  for (const FixedField& field : fields) {
    const Json* value = config.Find(field.key);
    if (value == nullptr) continue;
    if (std::find(field.allowed.begin(), field.allowed.end(), *value) == field.allowed.end()) {
      config.Unsupported(field.key, field.why);
    }
  }
}

void CheckCommonFields(const ConfigReader& config) {
  Check(config, {
                    {"attention_bias", {false}, "linears with a bias are not supported"},
                    {"mlp_bias", {false}, "linears with a bias are not supported"},
                    {"qkv_bias", {false}, "linears with a bias are not supported"},
                    {"bias", {false}, "linears with a bias are not supported"},
                    {"attn_logit_softcapping", {}, "an attention softcap is not supported"},
                    {"attention_chunk_size", {}, "chunked attention is not supported"},
                    {"attention_sink_size", {}, "attention sinks are not supported"},
                    {"is_causal", {true}, "only causal attention is supported"},
                    {"clip_qkv", {}, "clipped projections are not supported"},
                    {"logit_scale", {1}, "scaled logits are not supported"},
                    {"logits_scaling", {1}, "scaled logits are not supported"},
                    {"embedding_multiplier", {1}, "scaled embeddings are not supported"},
                    {"residual_multiplier", {1}, "scaled residuals are not supported"},
                    {"attention_multiplier", {}, "another attention scale is not supported"},
                });
}

}  // namespace

void CheckGemmaFixedFields(const ConfigReader& config) {
  constexpr char kPerLayer[] =
      "Gemma 4 E2B and E4B (per-layer inputs, shared KV, wide MLP) are not supported; use a dense "
      "Gemma 4 such as the 31B";
  constexpr char kMoe[] =
      "Gemma 4 mixture-of-experts (26B-A4B) is not supported; use a dense Gemma 4 such as the 31B";
  constexpr char kTied[] = "Talon's Gemma shares one matrix between embedding and head";
  CheckCommonFields(config);
  Check(config, {
                    {"hidden_size_per_layer_input", {0}, kPerLayer},
                    {"num_kv_shared_layers", {0}, kPerLayer},
                    {"use_double_wide_mlp", {false}, kPerLayer},
                    {"enable_moe_block", {false}, kMoe},
                    {"hidden_activation",
                     {"gelu_pytorch_tanh"},
                     "the only supported activation is gelu_pytorch_tanh"},
                    {"use_bidirectional_attention",
                     {false, "vision"},
                     "bidirectional attention between text tokens is not supported"},
                    {"tie_word_embeddings", {true}, kTied},
                });
}

void CheckDrafterFixedFields(const ConfigReader& config) {
  CheckCommonFields(config);
  Check(config,
        {
            {"hidden_act", {"silu", "swish"}, "the only supported activation is silu"},
            {"num_hidden_layers", {1}, "drafters of more than one layer are not supported"},
            {"final_logit_softcapping", {}, "a softcap on draft logits is not supported"},
            {"query_pre_attn_scalar", {}, "another attention scale is not supported"},
            {"qk_norm", {false}, "query and key norms in the drafter are not supported"},
            {"use_qk_norm", {false}, "query and key norms in the drafter are not supported"},
            {"num_experts", {0}, "mixture-of-experts drafters are not supported"},
            {"num_local_experts", {0}, "mixture-of-experts drafters are not supported"},
            {"partial_rotary_factor", {1}, "partial rotation is not supported in drafters"},
            {"parallel_drafting", {false}, "parallel drafting is not supported"},
        });
}

void CheckEagleConfigFields(const ConfigReader& config) {
  constexpr char kNorms[] = "drafters with other norms are not supported";
  Check(config,
        {
            {"use_aux_hidden_state", {true}, "drafters without auxiliary features are EAGLE-1"},
            {"use_input_layernorm_in_first_layer", {true}, kNorms},
            {"use_last_layernorm", {true}, kNorms},
            {"use_mtp_layernorm", {false}, kNorms},
            {"parallel_draft_step", {0, 1}, "parallel drafting is not supported"},
        });
}

}  // namespace talon
