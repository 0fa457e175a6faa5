#include "talon/quantize/quant_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "talon/quantize/quant_description.h"

namespace talon {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The cases of specs/nvfp4.md 3.2 and 0.1 item 5.
TEST(CondenseExcluded, NamesWithoutDotsStayAsTheyAre) {
  EXPECT_THAT(CondenseExcluded({"fc", "layers.0.mlp.up_proj"}, {"lm_head", "embed_tokens"}),
              ElementsAre("embed_tokens", "lm_head"));
}

TEST(CondenseExcluded, APrefixOfAQuantizedNameCannotBeAWildcard) {
  EXPECT_THAT(CondenseExcluded({"model.layers.0.mlp.up_proj"}, {"lm_head", "model.embed_tokens"}),
              ElementsAre("lm_head", "model.embed_tokens"));
}

TEST(CondenseExcluded, AWholeTowerBecomesOneWildcard) {
  EXPECT_THAT(
      CondenseExcluded({"model.language_model.layers.0.mlp.up_proj"},
                       {"model.vision_tower.layers.0.fc1", "model.vision_tower.layers.0.fc2",
                        "model.language_model.embed_tokens", "lm_head"}),
      ElementsAre("lm_head", "model.language_model.embed_tokens", "model.vision_tower*"));
}

// "model.layers.1*" would match layers.10, so the pair with a dot is taken and only its second part
// listed.
TEST(CondenseExcluded, ALayerWhoseNumberBeginsAnotherNeedsTheDot) {
  EXPECT_THAT(CondenseExcluded({"model.layers.10.mlp.up_proj"},
                               {"model.layers.1.mlp.up_proj", "model.layers.1.mlp.down_proj"}),
              ElementsAre("model.layers.1.*"));
}

Json Config(const char* text) { return ParseJson(text, "test"); }

TEST(QuantDescription, ReadsTheFlattenedForm) {
  const Json quantization = MakeQuantizationConfig(Recipe(), {"lm_head", "*fc"});
  const auto descriptions = DescribeConfig({{"quantization_config", quantization}});
  ASSERT_EQ(descriptions.size(), 1u);
  EXPECT_EQ(descriptions[0].algorithm, "NVFP4");
  EXPECT_TRUE(descriptions[0].quantizes_activations);
  EXPECT_THAT(descriptions[0].faults, IsEmpty());
  EXPECT_TRUE(descriptions[0].Ignores("lm_head"));
  EXPECT_TRUE(descriptions[0].Ignores("model.fc"));
  EXPECT_FALSE(descriptions[0].Ignores("model.layers.60.self_attn.qkv_proj"));
}

TEST(QuantDescription, WeightOnlyHasThreeSpellings) {
  const Json recipe = MakeQuantizationConfig(ParseRecipe("w4a16"), {"lm_head"});
  const Json null_inputs =
      Config(R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": [],
    "config_groups": {"group_0": {"input_activations": null, "weights": {}}}})");
  const Json nested = MakeHfQuantConfig(ParseRecipe("w4a16"), {"lm_head"});
  for (const Json& config : {recipe, null_inputs}) {
    EXPECT_FALSE(DescribeConfig({{"quantization_config", config}})[0].quantizes_activations);
  }
  EXPECT_FALSE(DescribeHfQuantConfig(nested).quantizes_activations);
}

// What real vLLM refuses (specs/nvfp4.md 0.2).
TEST(QuantDescription, NamesWhatVllmRefuses) {
  const char* faulty[] = {
      R"({"quant_algo": "NVFP4", "ignore": ["lm_head"]})",
      R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head"]})",
      R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["re:.*lm_head"]})",
      R"({"quant_method": "gptq"})",
      R"({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}})"};
  for (const char* text : faulty) {
    const auto descriptions = DescribeConfig({{"quantization_config", Config(text)}});
    ASSERT_EQ(descriptions.size(), 1u);
    EXPECT_FALSE(descriptions[0].faults.empty()) << text;
  }
}

TEST(QuantDescription, CompressedTensorsMatchesNamesAndRegularExpressions) {
  const Json config = Config(R"json({"quant_method": "compressed-tensors",
    "format": "nvfp4-pack-quantized",
    "ignore": ["lm_head", "re:.*vision.*", "re:model\\.layers\\.\\d+\\.(?:mlp|x)", "re:(("],
    "config_groups": {"group_0": {"input_activations": {"num_bits": 4}}}})json");
  const auto description = DescribeConfig({{"quantization_config", config}})[0];
  EXPECT_TRUE(description.quantizes_activations);
  EXPECT_TRUE(description.Ignores("lm_head"));
  EXPECT_FALSE(description.Ignores("model.lm_head"));
  EXPECT_TRUE(description.Ignores("model.vision_tower.fc1"));
  EXPECT_TRUE(description.Ignores("model.layers.17.mlp.up_proj"));
  EXPECT_FALSE(description.Ignores("model.layers.17.self_attn.q_proj"));
}

}  // namespace
}  // namespace talon
