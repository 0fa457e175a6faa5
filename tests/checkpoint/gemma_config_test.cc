// Gemma configs: the fixtures, the published 31B form written out by hand from its documented
// values, legacy spellings, and refusals by field name.
#include <gtest/gtest.h>

#include <cmath>

#include "talon/base/json.h"
#include "talon/checkpoint/model_config.h"
#include "tests/checkpoint/safetensors_builder.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::ExpectError;
using test::TestData;

GemmaConfig ReadGemma(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "config.json";
  return ParseGemmaConfig(ReadJsonFile(path), path.string());
}

// google/gemma-4-31B-it as published: nested, flat keys for the full layers.
Json Published31b() {
  Json config = ParseJson(R"({
    "architectures": ["Gemma4ForConditionalGeneration"], "model_type": "gemma4",
    "audio_config": null, "audio_token_id": 258881, "boa_token_id": 256000, "boi_token_id": 255999,
    "dtype": "bfloat16", "eoa_token_id": 258883, "eoi_token_id": 258882, "eos_token_id": [1, 106],
    "image_token_id": 258880, "initializer_range": 0.02, "tie_word_embeddings": true,
    "transformers_version": "5.5.0.dev0", "video_token_id": 258884,
    "vision_config": {"model_type": "gemma4_vision", "num_hidden_layers": 27, "hidden_size": 1152,
                      "hidden_activation": "anything"},
    "text_config": {
      "attention_bias": false, "attention_dropout": 0.0, "attention_k_eq_v": true,
      "bos_token_id": 2, "enable_moe_block": false, "eos_token_id": 1,
      "final_logit_softcapping": 30.0, "global_head_dim": 512, "head_dim": 256,
      "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 5376,
      "hidden_size_per_layer_input": 0, "initializer_range": 0.02, "intermediate_size": 21504,
      "max_position_embeddings": 262144, "model_type": "gemma4_text",
      "moe_intermediate_size": null, "num_attention_heads": 32, "num_experts": null,
      "num_global_key_value_heads": 4, "num_hidden_layers": 60, "num_key_value_heads": 16,
      "num_kv_shared_layers": 0, "pad_token_id": 0, "rms_norm_eps": 1e-06,
      "rope_parameters": {
        "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0,
                           "rope_type": "proportional"},
        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"}},
      "sliding_window": 1024, "tie_word_embeddings": true, "top_k_experts": null,
      "use_bidirectional_attention": "vision", "use_cache": true, "use_double_wide_mlp": false,
      "vocab_size": 262144, "vocab_size_per_layer_input": 262144}})",
                          "31b");
  Json types = Json::array();
  for (int i = 0; i < 60; ++i) {
    types.push_back((i + 1) % 6 == 0 ? "full_attention" : "sliding_attention");
  }
  config["text_config"]["layer_types"] = types;
  return config;
}

void Expect31b(const GemmaConfig& config) {
  EXPECT_EQ(config.family, GemmaFamily::kGemma4);
  EXPECT_EQ(config.hidden_size, 5376);
  EXPECT_EQ(config.intermediate_size, 21504);
  EXPECT_EQ(config.vocab_size, 262144);
  EXPECT_EQ(config.num_attention_heads, 32);
  EXPECT_EQ(config.max_position_embeddings, 262144);
  EXPECT_EQ(config.sliding_window, 1024);
  ASSERT_EQ(config.num_layers(), 60);
  for (int64_t i = 0; i < 60; ++i) {
    const bool full = (i + 1) % 6 == 0;
    const AttentionConfig& attention = config.attention(i);
    EXPECT_EQ(attention.num_kv_heads, full ? 4 : 16) << i;
    EXPECT_EQ(attention.head_dim, full ? 512 : 256) << i;
    EXPECT_EQ(attention.k_eq_v, full) << i;
    EXPECT_EQ(attention.rope.theta, full ? 1e6 : 1e4) << i;
    EXPECT_EQ(attention.rope.partial_rotary_factor, full ? 0.25 : 1.0) << i;
    EXPECT_EQ(attention.rope.factor, 1.0) << i;
  }
  EXPECT_EQ(config.rms_norm_eps, 1e-6);
  EXPECT_EQ(config.attention_scale, 1.0);
  EXPECT_EQ(config.final_logit_softcap, 30.0);
  EXPECT_EQ(config.bos_token_id, 2);
}

TEST(GemmaConfig, Published31bNested) {
  const GemmaConfig config = ParseGemmaConfig(Published31b(), "31b");
  Expect31b(config);
  EXPECT_EQ(config.tensor_prefix, "model.language_model.");
  EXPECT_EQ(config.eos_token_ids, (std::vector<int32_t>{1, 106}));
}

TEST(GemmaConfig, Published31bFlat) {
  const GemmaConfig config = ParseGemmaConfig(Published31b()["text_config"], "31b");
  Expect31b(config);
  EXPECT_EQ(config.tensor_prefix, "model.");
  EXPECT_EQ(config.eos_token_ids, std::vector<int32_t>{1});
}

TEST(GemmaConfig, PerLayerConfigSaysTheSame) {
  Json config = Published31b();
  Json& text = config["text_config"];
  text.erase("global_head_dim");
  text.erase("num_global_key_value_heads");
  for (int i = 5; i < 60; i += 6) {
    text["per_layer_config"][std::to_string(i)] = {{"head_dim", 512}, {"num_key_value_heads", 4}};
  }
  Expect31b(ParseGemmaConfig(config, "31b"));

  text["per_layer_config"]["11"]["head_dim"] = 256;
  ExpectError(ErrorCode::kUnsupported, "'text_config.per_layer_config': layer 11 differs",
              [&] { ParseGemmaConfig(config, "31b"); });
  text["per_layer_config"]["11"] = {{"head_dim", 512}, {"num_key_value_heads", 4}};
  text["per_layer_config"]["0"] = {{"head_dim", 512}};
  ExpectError(ErrorCode::kUnsupported, "layer 0 differs", [&] { ParseGemmaConfig(config, "31b"); });
  text["per_layer_config"]["0"] = {{"intermediate_size", 7}};
  ExpectError(ErrorCode::kUnsupported, "'text_config.per_layer_config.0.intermediate_size': 7",
              [&] { ParseGemmaConfig(config, "31b"); });
  text["per_layer_config"].erase("0");
  text["per_layer_config"]["60"] = {{"head_dim", 512}};
  ExpectError(ErrorCode::kDataLoss, "keys that are no layer from 0 to 59",
              [&] { ParseGemmaConfig(config, "31b"); });
}

TEST(GemmaConfig, DefaultsOfMissingFields) {
  Json config = Published31b();
  Json& text = config["text_config"];
  for (const char* key : {"layer_types", "rope_parameters", "global_head_dim", "rms_norm_eps",
                          "head_dim", "bos_token_id", "use_double_wide_mlp"}) {
    text.erase(key);
  }
  Expect31b(ParseGemmaConfig(config, "31b"));
}

TEST(GemmaConfig, KvHeadsOfFullLayersNeedKeqV) {
  Json config = Published31b();
  config["text_config"]["attention_k_eq_v"] = false;
  const GemmaConfig parsed = ParseGemmaConfig(config, "31b");
  EXPECT_EQ(parsed.full.num_kv_heads, 16);
  EXPECT_EQ(parsed.full.head_dim, 512);
  EXPECT_FALSE(parsed.full.k_eq_v);
}

TEST(GemmaConfig, LastGemma4LayerIsForcedToFullAttention) {
  Json config = Published31b();
  config["text_config"]["layer_types"][59] = "sliding_attention";
  EXPECT_EQ(ParseGemmaConfig(config, "31b").layer_types.back(), AttentionKind::kFull);
}

TEST(GemmaConfig, Gemma4Fixtures) {
  const GemmaConfig dense = ReadGemma(TestData("gemma4-dense"));
  EXPECT_EQ(dense.tensor_prefix, "model.");
  EXPECT_EQ(dense.hidden_size, 64);
  EXPECT_EQ(dense.num_layers(), 7);
  EXPECT_EQ(dense.full.head_dim, 64);
  EXPECT_EQ(dense.full.num_kv_heads, 1);
  EXPECT_EQ(dense.sliding.head_dim, 32);
  EXPECT_EQ(dense.sliding.num_kv_heads, 2);
  EXPECT_EQ(dense.sliding_window, 16);
  const GemmaConfig tiny = ReadGemma(TestData("tiny-gemma4/verifier"));
  EXPECT_EQ(tiny.vocab_size, 8192);
  EXPECT_EQ(tiny.layer_types[3], AttentionKind::kFull);
  EXPECT_EQ(tiny.layer_types[4], AttentionKind::kSliding);
  EXPECT_EQ(tiny.eos_token_ids, (std::vector<int32_t>{1, 5}));
}

TEST(GemmaConfig, RefusesOtherGemma4KindsByName) {
  ExpectError(ErrorCode::kUnsupported, "'hidden_size_per_layer_input': 16; Gemma 4 E2B and E4B",
              [] { ReadGemma(TestData("gemma4-e2b")); });
  ExpectError(ErrorCode::kUnsupported, "'enable_moe_block': true; Gemma 4 mixture-of-experts",
              [] { ReadGemma(TestData("gemma4-moe")); });
}

// Sets one field of the 31B text config and expects its refusal.
void ExpectRefused(const char* key, const Json& value, const std::string& message) {
  SCOPED_TRACE(key);
  Json config = Published31b();
  config["text_config"][key] = value;
  ExpectError(ErrorCode::kUnsupported, fmt::format("31b: field 'text_config.{}'", key),
              [&] { ParseGemmaConfig(config, "31b"); });
  ExpectError(ErrorCode::kUnsupported, message, [&] { ParseGemmaConfig(config, "31b"); });
}

TEST(GemmaConfig, RefusesUnsupportedMathematicsByField) {
  ExpectRefused("hidden_size_per_layer_input", 256, "E2B");
  ExpectRefused("hidden_size_per_layer_input", nullptr, "absent means 256");
  ExpectRefused("num_kv_shared_layers", 20, "E2B");
  ExpectRefused("use_double_wide_mlp", true, "E2B");
  ExpectRefused("enable_moe_block", true, "26B-A4B");
  ExpectRefused("attention_bias", true, "bias");
  ExpectRefused("hidden_activation", "silu", "\"silu\"; the only supported activation");
  ExpectRefused("attn_logit_softcapping", 50.0, "50.0; an attention softcap");
  ExpectRefused("use_bidirectional_attention", "all", "\"all\"");
  ExpectRefused("use_bidirectional_attention", true, "bidirectional");
  ExpectRefused("tie_word_embeddings", false, "embedding and head");
  ExpectRefused("model_type", "gemma4_unified_text", "Talon runs Gemma 3 text");
  ExpectRefused("model_type", "gemma3_text", "differs from the outer");
  Json types = Published31b()["text_config"]["layer_types"];
  types[7] = "chunked_attention";
  ExpectRefused("layer_types", types, "sliding_attention and full_attention");
}

TEST(GemmaConfig, RefusesUnknownRopeByField) {
  const auto refused = [](const char* key, const Json& value, const std::string& message) {
    Json config = Published31b();
    config["text_config"]["rope_parameters"]["full_attention"][key] = value;
    ExpectError(ErrorCode::kUnsupported,
                std::string("'text_config.rope_parameters.full_attention.") + key + "': ", [&] {
                  ParseGemmaConfig(config, "31b");
                });
    ExpectError(ErrorCode::kUnsupported, message, [&] { ParseGemmaConfig(config, "31b"); });
  };
  refused("rope_type", "yarn", "\"yarn\"; supported rope types are");
  refused("rope_type", "llama3", "\"llama3\"");
  refused("mrope_section", Json::array({1, 2}), "does not know this rope setting");
  refused("attention_factor", 1.5, "1.5");
  refused("partial_rotary_factor", 1.5, "at most 1");
  Json config = Published31b();
  config["text_config"]["rope_parameters"]["sliding_attention"]["partial_rotary_factor"] = 0.5;
  ExpectError(ErrorCode::kUnsupported, "partial rotation",
              [&] { ParseGemmaConfig(config, "31b"); });
}

TEST(GemmaConfig, RefusesMalformedFieldsByName) {
  const auto refused = [](const char* key, const Json& value, const std::string& message) {
    Json config = Published31b();
    config["text_config"][key] = value;
    ExpectError(ErrorCode::kDataLoss, message, [&] { ParseGemmaConfig(config, "31b"); });
  };
  refused("hidden_size", nullptr, "'text_config.hidden_size': found nothing, expected an integer");
  refused("hidden_size", "5376", "found \"5376\"");
  refused("hidden_size", -1, "found -1");
  refused("hidden_size", 1.5, "found 1.5");
  refused("hidden_size", 9223372036854775807, "found 9223372036854775807");
  refused("hidden_size", 18446744073709551615U, "found 18446744073709551615");
  refused("num_hidden_layers", 1000000, "expected an integer from 1 to 1024");
  refused("num_hidden_layers", 59, "'text_config.layer_types': 60 entries");
  refused("layer_types", "full_attention", "expected a list of strings");
  refused("rms_norm_eps", 0, "expected a positive number");
  refused("num_attention_heads", 30, "30 query heads are no multiple of 16");
  refused("head_dim", 255, "expected an even number");
  refused("rope_parameters", Json::object(), "rope_parameters.sliding_attention': found nothing");
  refused("rope_theta", 500.0, "'rope_parameters' says 1000000");
}

TEST(GemmaConfig, RefusesOtherModels) {
  for (const char* type : {"llama", "gemma2", "gemma3n", "gemma4_assistant", "gemma4_unified"}) {
    const Json config = {{"model_type", type}};
    ExpectError(ErrorCode::kUnsupported, std::string("'model_type': \"") + type + "\"",
                [&] { ParseGemmaConfig(config, "config.json"); });
  }
  ExpectError(ErrorCode::kUnsupported, "'model_type': nothing",
              [] { ParseGemmaConfig(Json::object(), "config.json"); });
  ExpectError(ErrorCode::kDataLoss, "expected a JSON object",
              [] { ParseGemmaConfig(Json::array(), "config.json"); });
}

TEST(GemmaConfig, Gemma3Fixture) {
  const GemmaConfig config = ReadGemma(TestData("gemma3"));
  EXPECT_EQ(config.family, GemmaFamily::kGemma3);
  EXPECT_EQ(config.tensor_prefix, "model.");
  EXPECT_EQ(config.layer_types[5], AttentionKind::kFull);
  EXPECT_EQ(config.layer_types[6], AttentionKind::kSliding);
  EXPECT_EQ(config.attention_scale, 1.0 / std::sqrt(32.0));
  EXPECT_EQ(config.final_logit_softcap, 0.0);
  EXPECT_EQ(config.full.rope.theta, 1e6);
  EXPECT_EQ(config.sliding.rope.theta, 1e4);
  EXPECT_FALSE(config.full.k_eq_v);
}

// google/gemma-3-270m with the keys of its day.
TEST(GemmaConfig, LegacyGemma3) {
  Json config = ParseJson(R"({
    "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": 640,
    "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
    "intermediate_size": 2048, "hidden_activation": "gelu_pytorch_tanh", "vocab_size": 262144,
    "max_position_embeddings": 32768, "sliding_window": 512, "_sliding_window_pattern": 6,
    "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "rope_scaling": null,
    "query_pre_attn_scalar": 256, "attn_logit_softcapping": null,
    "final_logit_softcapping": null, "rms_norm_eps": 1e-06, "attention_bias": false,
    "use_bidirectional_attention": false, "bos_token_id": 2, "eos_token_id": 1})",
                          "270m");
  const GemmaConfig parsed = ParseGemmaConfig(config, "270m");
  EXPECT_EQ(parsed.attention_scale, 0.0625);
  EXPECT_EQ(parsed.full.rope.theta, 1e6);
  EXPECT_EQ(parsed.sliding.rope.theta, 1e4);
  EXPECT_EQ(parsed.layer_types[5], AttentionKind::kFull);
  EXPECT_EQ(parsed.layer_types[6], AttentionKind::kSliding);
  EXPECT_EQ(parsed.full.num_kv_heads, 1);

  config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  EXPECT_EQ(ParseGemmaConfig(config, "4b").full.rope.factor, 8.0);
  EXPECT_EQ(ParseGemmaConfig(config, "4b").sliding.rope.factor, 1.0);
  config["rope_scaling"] = {{"type", "dynamic"}, {"factor", 8.0}};
  ExpectError(ErrorCode::kUnsupported, "'rope_scaling.type': \"dynamic\"",
              [&] { ParseGemmaConfig(config, "4b"); });
}

// google/gemma-3-4b-it leaves most fields to the class defaults.
TEST(GemmaConfig, Gemma3MultimodalWithDefaults) {
  const Json config = ParseJson(R"({
    "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
    "eos_token_id": [1, 106], "vision_config": {"model_type": "siglip_vision_model"},
    "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
                    "num_hidden_layers": 34, "sliding_window": 1024,
                    "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}})",
                                "4b");
  const GemmaConfig parsed = ParseGemmaConfig(config, "4b");
  EXPECT_EQ(parsed.tensor_prefix, "model.language_model.");
  EXPECT_EQ(parsed.num_attention_heads, 8);
  EXPECT_EQ(parsed.sliding.num_kv_heads, 4);
  EXPECT_EQ(parsed.full.head_dim, 256);
  EXPECT_EQ(parsed.vocab_size, 262208);
  EXPECT_EQ(parsed.full.rope.factor, 8.0);
  EXPECT_EQ(parsed.full.rope.theta, 1e6);
}

TEST(GenerationConfig, ReadsRecommendations) {
  const GenerationConfig tiny = ReadGenerationConfig(TestData("tiny-gemma4/verifier"));
  EXPECT_TRUE(tiny.do_sample);
  EXPECT_EQ(tiny.temperature, 1.0);
  EXPECT_EQ(tiny.top_k, 64);
  EXPECT_EQ(tiny.top_p, 0.95);
  EXPECT_EQ(tiny.eos_token_ids, (std::vector<int32_t>{1, 5}));
  const GenerationConfig dense = ReadGenerationConfig(TestData("gemma4-dense"));
  EXPECT_FALSE(dense.do_sample);
  EXPECT_EQ(dense.eos_token_ids, std::vector<int32_t>{1});
  EXPECT_TRUE(ReadGenerationConfig(TestData("gemma4-moe")).eos_token_ids.empty());

  const test::TempDir folder;
  test::WriteBytes(folder.path() / "generation_config.json", R"({"top_k": "many"})");
  ExpectError(ErrorCode::kDataLoss, "field 'top_k': found \"many\"",
              [&] { ReadGenerationConfig(folder.path()); });
}

}  // namespace
}  // namespace talon
