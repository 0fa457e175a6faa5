// Any text as a config.json of a verifier and of a drafter: a parsed config keeps its promises,
// everything else must be a talon::Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "talon/base/error.h"
#include "talon/base/json.h"
#include "talon/checkpoint/model_config.h"
#include "talon/checkpoint/model_kind.h"

namespace {

void Require(bool condition) {
  if (!condition) __builtin_trap();
}

void CheckGemma(const talon::Json& json) {
  const talon::GemmaConfig config = talon::ParseGemmaConfig(json, "fuzz");
  Require(config.hidden_size > 0 && config.num_layers() > 0 && config.sliding_window > 0);
  for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
    const talon::AttentionConfig& attention = config.attention(layer);
    Require(attention.head_dim > 0 && attention.num_kv_heads > 0);
    Require(config.num_attention_heads % attention.num_kv_heads == 0);
    Require(attention.rope.theta > 0 && attention.rope.factor > 0);
  }
}

void CheckDrafter(const talon::Json& json) {
  const talon::Eagle3Config config = talon::ParseEagle3Config(json, "fuzz");
  Require(config.hidden_size > 0 && config.head_dim > 0 && config.num_kv_heads > 0);
  Require(config.num_attention_heads % config.num_kv_heads == 0);
  Require(config.draft_vocab_size > 0 && config.draft_vocab_size <= config.vocab_size);
  for (size_t i = 1; i < config.aux_layer_ids.size(); ++i) {
    Require(config.aux_layer_ids[i] > config.aux_layer_ids[i - 1]);
  }
}

template <typename Function>
void Try(const Function& function) {
  try {
    function();
  } catch (const talon::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Try([&] {
    const talon::Json json = talon::ParseJson({reinterpret_cast<const char*>(data), size}, "fuzz");
    talon::KindOf(json);
    Try([&] { CheckGemma(json); });
    Try([&] { CheckDrafter(json); });
  });
  return 0;
}
