// Drafter configs: the fixtures, the 31B form from its documented values, the plain form with its
// own defaults, and refusals by field name.
#include <gtest/gtest.h>

#include "talon/base/json.h"
#include "talon/checkpoint/model_config.h"
#include "tests/checkpoint/safetensors_builder.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::ExpectError;
using test::TestData;

Json Speculators31b() {
  return ParseJson(R"({
    "architectures": ["Eagle3Speculator"], "auto_map": {"": "config.Eagle3SpeculatorConfig"},
    "draft_vocab_size": 32000, "dtype": "bfloat16",
    "eagle_aux_hidden_state_layer_ids": [2, 30, 57], "embed_requires_grad": false,
    "norm_before_fc": false, "norm_before_residual": true,
    "speculators_config": {
      "algorithm": "eagle3", "default_proposal_method": "greedy",
      "proposal_methods": [{"accept_tolerance": 0.0, "proposal_type": "greedy",
                            "speculative_tokens": 3, "verifier_accept_k": 1}],
      "verifier": {"architectures": ["Gemma4ForConditionalGeneration"],
                   "name_or_path": "google/gemma-4-31B-it"}},
    "speculators_model_type": "eagle3", "speculators_version": "0.5.0.dev0",
    "target_hidden_size": null, "tie_word_embeddings": false,
    "transformer_layer_config": {
      "attention_bias": false, "attention_dropout": 0.0, "head_dim": 256, "hidden_act": "silu",
      "hidden_size": 5376, "intermediate_size": 21504, "max_position_embeddings": 262144,
      "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32,
      "num_hidden_layers": 1, "num_key_value_heads": 16, "pretraining_tp": 1,
      "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 10000.0, "vocab_size": 262144}})",
                   "31b");
}

Json Plain31b() {
  Json config = Speculators31b()["transformer_layer_config"];
  config["architectures"] = {"LlamaForCausalLMEagle3"};
  config["draft_vocab_size"] = 32000;
  return config;
}

TEST(Eagle3Config, Speculators31b) {
  const Eagle3Config config = ParseEagle3Config(Speculators31b(), "31b");
  EXPECT_EQ(config.hidden_size, 5376);
  EXPECT_EQ(config.intermediate_size, 21504);
  EXPECT_EQ(config.num_attention_heads, 32);
  EXPECT_EQ(config.num_kv_heads, 16);
  EXPECT_EQ(config.head_dim, 256);
  EXPECT_EQ(config.vocab_size, 262144);
  EXPECT_EQ(config.draft_vocab_size, 32000);
  EXPECT_EQ(config.target_hidden_size, 5376);
  EXPECT_EQ(config.max_position_embeddings, 262144);
  EXPECT_EQ(config.rms_norm_eps, 1e-6);
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_EQ(config.rope.factor, 1.0);
  EXPECT_TRUE(config.norm_before_residual);
  EXPECT_FALSE(config.norm_before_fc);
  EXPECT_FALSE(config.fc_norm);
  EXPECT_FALSE(config.norm_output);
  EXPECT_EQ(config.aux_layer_ids, (std::vector<int64_t>{2, 30, 57}));
  EXPECT_EQ(config.num_speculative_tokens, 3);
  EXPECT_EQ(config.verifier_name_or_path, "google/gemma-4-31B-it");
  EXPECT_EQ(DefaultAuxLayerIds(60), (std::vector<int64_t>{2, 30, 57}));
}

TEST(Eagle3Config, Fixtures) {
  for (const char* name :
       {"tiny-gemma4/drafter/config.json", "modelopt-nvfp4-drafter/config.json",
        "modelopt-nvfp4-drafter/config.as_modelopt_wrote_it.json",
        "modelopt-nvfp4-drafter/modelopt-0.43.0/config.as_modelopt_wrote_it.json"}) {
    SCOPED_TRACE(name);
    const Eagle3Config config = ParseEagle3Config(ReadJsonFile(TestData(name)), name);
    EXPECT_EQ(config.hidden_size, 384);
    EXPECT_EQ(config.head_dim, 64);
    EXPECT_EQ(config.num_kv_heads, 2);
    EXPECT_EQ(config.draft_vocab_size, 4096);
    EXPECT_EQ(config.rope.theta, 10000.0);
    EXPECT_EQ(config.aux_layer_ids, (std::vector<int64_t>{2, 4, 5}));
    EXPECT_EQ(config.verifier_name_or_path, "../verifier");
  }
}

TEST(Eagle3Config, BothSpellingsOfRope) {
  Json config = Speculators31b();
  Json& layer = config["transformer_layer_config"];
  layer["rope_theta"] = 500000;
  EXPECT_EQ(ParseEagle3Config(config, "d").rope.theta, 500000.0);
  layer.erase("rope_theta");
  EXPECT_EQ(ParseEagle3Config(config, "d").rope.theta, 10000.0);
  layer["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 500000.0}};
  EXPECT_EQ(ParseEagle3Config(config, "d").rope.theta, 500000.0);
  layer["rope_theta"] = 10000.0;
  ExpectError(ErrorCode::kDataLoss, "'transformer_layer_config.rope_theta': 10000",
              [&] { ParseEagle3Config(config, "d"); });
  layer.erase("rope_parameters");
  layer["rope_scaling"] = {{"type", "linear"}, {"factor", 4.0}};
  EXPECT_EQ(ParseEagle3Config(config, "d").rope.factor, 4.0);
  layer["rope_scaling"] = {{"rope_type", "llama3"}, {"factor", 8.0}};
  ExpectError(ErrorCode::kUnsupported, "rope_scaling.rope_type': \"llama3\"",
              [&] { ParseEagle3Config(config, "d"); });
}

TEST(Eagle3Config, NullAndMissingFieldsTakeTheirDefaults) {
  Json config = Speculators31b();
  for (const char* key : {"eagle_aux_hidden_state_layer_ids", "draft_vocab_size", "fc_norm",
                          "norm_before_fc", "norm_output"}) {
    config[key] = nullptr;
  }
  config.erase("norm_before_residual");
  config.erase("speculators_config");
  config["transformer_layer_config"]["head_dim"] = nullptr;
  config["transformer_layer_config"]["num_key_value_heads"] = nullptr;
  config["transformer_layer_config"]["sliding_window"] = nullptr;
  const Eagle3Config parsed = ParseEagle3Config(config, "d");
  EXPECT_TRUE(parsed.aux_layer_ids.empty());
  EXPECT_EQ(parsed.draft_vocab_size, 262144);
  EXPECT_EQ(parsed.head_dim, 168);
  EXPECT_EQ(parsed.num_kv_heads, 32);
  EXPECT_TRUE(parsed.norm_before_residual);
  EXPECT_EQ(parsed.num_speculative_tokens, 0);
  EXPECT_EQ(parsed.verifier_name_or_path, "");
}

TEST(Eagle3Config, NewerFlags) {
  Json config = Speculators31b();
  config["norm_before_fc"] = true;
  config["norm_output"] = true;
  config["norm_before_residual"] = false;
  config["target_hidden_size"] = 2816;
  config["eagle_aux_hidden_state_layer_ids"] = {57, 2, 30};
  const Eagle3Config parsed = ParseEagle3Config(config, "d");
  EXPECT_TRUE(parsed.norm_before_fc);
  EXPECT_TRUE(parsed.norm_output);
  EXPECT_FALSE(parsed.norm_before_residual);
  EXPECT_EQ(parsed.target_hidden_size, 2816);
  EXPECT_EQ(parsed.aux_layer_ids, (std::vector<int64_t>{2, 30, 57}));
  config["fc_norm"] = true;
  ExpectError(ErrorCode::kDataLoss, "'fc_norm': true together with 'norm_before_fc'",
              [&] { ParseEagle3Config(config, "d"); });
}

TEST(Eagle3Config, PlainForm) {
  Json config = Plain31b();
  Eagle3Config parsed = ParseEagle3Config(config, "plain");
  EXPECT_FALSE(parsed.norm_before_residual);
  EXPECT_EQ(parsed.draft_vocab_size, 32000);
  EXPECT_TRUE(parsed.aux_layer_ids.empty());
  config["architectures"] = {"Eagle3LlamaForCausalLM"};
  config["norm_before_residual"] = true;
  config["eagle_aux_hidden_state_layer_ids"] = {1, 2, 3};
  parsed = ParseEagle3Config(config, "plain");
  EXPECT_TRUE(parsed.norm_before_residual);
  EXPECT_EQ(parsed.aux_layer_ids, (std::vector<int64_t>{1, 2, 3}));
  config["eagle_config"] = {{"eagle_aux_hidden_state_layer_ids", {2, 30, 57}},
                            {"use_aux_hidden_state", true},
                            {"use_input_layernorm_in_first_layer", true},
                            {"use_last_layernorm", true},
                            {"use_mtp_layernorm", false},
                            {"next_layer_regular", true},
                            {"parallel_draft_step", 1},
                            {"parallel_draft_heads_num_layers", 1}};
  EXPECT_EQ(ParseEagle3Config(config, "plain").aux_layer_ids, (std::vector<int64_t>{2, 30, 57}));
  config["eagle_config"]["use_aux_hidden_state"] = false;
  ExpectError(ErrorCode::kUnsupported, "'eagle_config.use_aux_hidden_state': false",
              [&] { ParseEagle3Config(config, "plain"); });
}

TEST(Eagle3Config, RefusesUnsupportedLayersByField) {
  const auto refused = [](const char* key, const Json& value) {
    SCOPED_TRACE(key);
    Json config = Speculators31b();
    config["transformer_layer_config"][key] = value;
    ExpectError(ErrorCode::kUnsupported,
                std::string("d: field 'transformer_layer_config.") + key + "': ", [&] {
                  ParseEagle3Config(config, "d");
                });
    Json plain = Plain31b();
    plain[key] = value;
    ExpectError(ErrorCode::kUnsupported,
                std::string("d: field '") + key + "': ", [&] { ParseEagle3Config(plain, "d"); });
  };
  refused("model_type", "qwen3");
  refused("num_hidden_layers", 2);
  refused("attention_bias", true);
  refused("mlp_bias", true);
  refused("hidden_act", "gelu_pytorch_tanh");
  refused("sliding_window", 2048);
  refused("layer_types", Json::array({"sliding_attention"}));
  refused("partial_rotary_factor", 0.5);
  refused("logit_scale", 0.5);
  refused("attn_logit_softcapping", 50.0);
  refused("final_logit_softcapping", 30.0);
  refused("is_causal", false);
}

TEST(Eagle3Config, AnUnusedSlidingWindowIsHarmless) {
  Json config = Speculators31b();
  Json& layer = config["transformer_layer_config"];
  layer["sliding_window"] = 2048;
  layer["use_sliding_window"] = false;
  EXPECT_NO_THROW(ParseEagle3Config(config, "d"));
  layer.erase("use_sliding_window");
  layer["layer_types"] = {"full_attention"};
  EXPECT_NO_THROW(ParseEagle3Config(config, "d"));
}

TEST(Eagle3Config, RefusesOtherSpeculatorsAndMalformedFields) {
  const auto refused = [](ErrorCode code, const Json& config, const std::string& message) {
    ExpectError(code, message, [&] { ParseEagle3Config(config, "d"); });
  };
  Json config = Speculators31b();
  config["speculators_model_type"] = "dflash";
  refused(ErrorCode::kUnsupported, config, "'speculators_model_type': \"dflash\"");
  config = Speculators31b();
  config["speculators_config"]["algorithm"] = "mtp";
  refused(ErrorCode::kUnsupported, config, "'speculators_config.algorithm': \"mtp\"");
  config = Speculators31b();
  config["norm_before_residual"] = nullptr;
  refused(ErrorCode::kUnsupported, config, "'norm_before_residual'");
  config["norm_before_residual"] = "yes";
  refused(ErrorCode::kDataLoss, config, "found \"yes\", expected true or false");
  config = Speculators31b();
  config["draft_vocab_size"] = 262145;
  refused(ErrorCode::kDataLoss, config, "'draft_vocab_size': found 262145");
  config = Speculators31b();
  config["eagle_aux_hidden_state_layer_ids"] = {2, 2, 57};
  refused(ErrorCode::kDataLoss, config, "a layer is listed twice");
  config["eagle_aux_hidden_state_layer_ids"] = {2, -1, 57};
  refused(ErrorCode::kDataLoss, config, "list of integers from 0");
  config = Speculators31b();
  config.erase("transformer_layer_config");
  refused(ErrorCode::kDataLoss, config, "'transformer_layer_config': found nothing");
  config = Plain31b();
  config["architectures"] = {"LlamaForCausalLM"};
  refused(ErrorCode::kUnsupported, config, "'architectures': [\"LlamaForCausalLM\"]");
  config["architectures"] = {"Eagle3Qwen3ForCausalLM"};
  refused(ErrorCode::kUnsupported, config, "expected an EAGLE-3 drafter");
}

}  // namespace
}  // namespace talon
