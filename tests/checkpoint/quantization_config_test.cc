// Quantization declarations of the known producers, and refusals of other formats by name.
#include "talon/checkpoint/quantization_config.h"

#include <gtest/gtest.h>

#include "tests/checkpoint/safetensors_builder.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::ExpectError;
using test::TestData;
using Names = std::vector<std::string>;

std::optional<QuantizationConfig> Parse(const std::string& quantization) {
  return ParseQuantizationConfig(
      ParseJson(R"({"quantization_config":)" + quantization + "}", "test"), "config.json");
}

TEST(QuantizationConfig, ModelOptFixture) {
  const auto config = ReadQuantizationConfig(TestData("modelopt-nvfp4-drafter"));
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(config->method, "modelopt");
  EXPECT_EQ(config->algorithm, "NVFP4");
  EXPECT_EQ(config->ignore, (Names{"embed_tokens", "lm_head"}));
  EXPECT_EQ(config->producer, "modelopt 0.47.0");
  EXPECT_EQ(config->kv_cache, "");
  EXPECT_FALSE(ReadQuantizationConfig(TestData("gemma4-dense")).has_value());
}

TEST(QuantizationConfig, SeparateFile) {
  const test::TempDir folder;
  test::WriteBytes(folder.path() / "config.json", "{}");
  std::filesystem::copy_file(TestData("modelopt-nvfp4-drafter/variant-w4a16/hf_quant_config.json"),
                             folder.path() / "hf_quant_config.json");
  const auto config = ReadQuantizationConfig(folder.path());
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(config->algorithm, "W4A16_NVFP4");
  EXPECT_EQ(config->ignore, (Names{"embed_tokens", "lm_head"}));
}

TEST(QuantizationConfig, NestedModelOptForm) {
  const auto config = Parse(R"({"producer": {"name": "modelopt", "version": "0.42.0"},
    "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16,
                     "exclude_modules": ["lm_head", "model.embed_vision*"]}})");
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(config->kv_cache, "FP8");
  EXPECT_EQ(config->producer, "modelopt 0.42.0");
  EXPECT_EQ(config->ignore, (Names{"lm_head", "model.embed_vision*"}));
}

TEST(QuantizationConfig, CompressedTensors) {
  const auto config = Parse(R"({"quant_method": "compressed-tensors",
    "format": "nvfp4-pack-quantized", "config_groups": {"group_0": {"targets": ["Linear"],
      "weights": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
      "input_activations": null}},
    "ignore": ["lm_head", "re:.*vision.*"], "kv_cache_scheme": null})");
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(config->method, "compressed-tensors");
  EXPECT_EQ(config->algorithm, "nvfp4-pack-quantized");
  EXPECT_EQ(config->ignore, (Names{"lm_head", "re:.*vision.*"}));
}

TEST(QuantizationConfig, InsideTheInnerModel) {
  const Json config = ParseJson(
      R"({"transformer_layer_config":{"quantization_config":
          {"quant_method":"modelopt","quant_algo":"FP8"}}})",
      "test");
  EXPECT_EQ(ParseQuantizationConfig(config, "config.json")->algorithm, "FP8");
}

TEST(QuantizationConfig, RefusesOtherFormatsByName) {
  const auto refused = [](const std::string& quantization, const std::string& message) {
    SCOPED_TRACE(quantization);
    ExpectError(ErrorCode::kUnsupported, message, [&] { Parse(quantization); });
    ExpectError(ErrorCode::kUnsupported, "config.json: field 'quantization_config.",
                [&] { Parse(quantization); });
  };
  for (const char* method : {"gptq", "awq", "gguf", "bitsandbytes", "mxfp4", "fp8", "torchao"}) {
    refused(fmt::format(R"({{"quant_method":"{}","bits":4}})", method),
            fmt::format("quant_method': \"{}\"; Talon reads BF16", method));
  }
  refused("{}", "quant_method': nothing");
  refused(R"({"quant_method":"modelopt","quant_algo":"INT4_AWQ"})", "quant_algo': \"INT4_AWQ\"");
  refused(R"({"quant_method":"modelopt","quant_algo":"NVFP4_SVD"})", "\"NVFP4_SVD\"");
  refused(R"({"quant_method":"modelopt"})", "quant_algo': nothing");
  const auto group = [](const std::string& weights) {
    return R"({"quant_method":"compressed-tensors","config_groups":{"group_0":{"weights":)" +
           weights + "}}}";
  };
  // Google's own QAT release of the 31B.
  refused(group(R"({"num_bits":4,"type":"int","strategy":"group","group_size":32})"),
          "int4 weights are not supported");
  refused(group(R"({"num_bits":8,"type":"int","strategy":"channel"})"), "int8 weights");
  refused(group(R"({"num_bits":4,"type":"float","strategy":"group","group_size":32})"), "MXFP4");
  refused(group(R"({"num_bits":4,"type":"float","strategy":"tensor_group","group_size":32})"),
          "blocks of 16");
  refused(group(R"({"num_bits":8,"type":"float","strategy":"block"})"), "strategy': \"block\"");
}

}  // namespace
}  // namespace talon
