#include "talon/bench/bench_shapes.h"

#include "talon/base/error.h"
#include "talon/quantize/synthetic_drafter.h"

namespace talon {
namespace {

// Five sliding layers, then a full one, as in every Gemma 4 dense model.
std::vector<AttentionKind> LayerTypes(int64_t layers) {
  std::vector<AttentionKind> types;
  for (int64_t i = 0; i < layers; ++i) {
    types.push_back((i + 1) % 6 == 0 ? AttentionKind::kFull : AttentionKind::kSliding);
  }
  return types;
}

GemmaConfig Gemma4(int64_t layers, int64_t hidden) {
  GemmaConfig config;
  config.family = GemmaFamily::kGemma4;
  config.tensor_prefix = "model.";
  config.hidden_size = hidden;
  config.intermediate_size = 4 * hidden;
  config.layer_types = LayerTypes(layers);
  config.sliding.rope.theta = 1e4;
  config.full.rope.theta = 1e6;
  config.full.rope.partial_rotary_factor = 0.25;
  config.full.k_eq_v = true;
  config.final_logit_softcap = 30.0;
  return config;
}

GemmaConfig Gemma31B() {
  GemmaConfig config = Gemma4(60, 5376);
  config.vocab_size = 262144;
  config.num_attention_heads = 32;
  config.max_position_embeddings = 262144;
  config.sliding_window = 1024;
  config.sliding.num_kv_heads = 16;
  config.sliding.head_dim = 256;
  config.full.num_kv_heads = 4;
  config.full.head_dim = 512;
  return config;
}

GemmaConfig GemmaTiny() {
  GemmaConfig config = Gemma4(6, 384);
  config.vocab_size = 8192;
  config.num_attention_heads = 6;
  config.max_position_embeddings = 2048;
  config.sliding_window = 64;
  config.sliding.num_kv_heads = 3;
  config.sliding.head_dim = 64;
  config.full.num_kv_heads = 1;
  config.full.head_dim = 128;
  return config;
}

}  // namespace

BenchShape FindBenchShape(std::string_view name) {
  const auto drafter = [](std::string_view shape) {
    Eagle3Config config = ParseEagle3Config(SyntheticDrafterConfig(shape), "bench");
    if (config.target_hidden_size == 0) config.target_hidden_size = config.hidden_size;
    return config;
  };
  if (name == "gemma-4-31b") return {Gemma31B(), drafter("31b")};
  if (name == "tiny") return {GemmaTiny(), drafter("tiny")};
  Throw(ErrorCode::kInvalidArgument, "--shape {}: unknown; give gemma-4-31b or tiny", name);
}

}  // namespace talon
