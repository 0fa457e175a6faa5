// modelopt_state.pt against the one ModelOpt 0.47 wrote for the same drafter, by content.
#include "talon/quantize/modelopt_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "talon/base/json.h"
#include "tests/quantize/pickle_reader.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

std::vector<QuantizerModule> DrafterModules() {
  std::vector<QuantizerModule> modules = {{"embed_tokens", /*is_embedding=*/true, false},
                                          {"lm_head", false, false},
                                          {"fc", false, true}};
  for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                           "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
    modules.push_back({std::string("layers.0.") + name, false, true});
  }
  return modules;
}

json Golden(const std::string& name) {
  return test::ReadTorchArchive(ReadTextFile(test::TestData("modelopt-nvfp4-drafter") / name));
}

// What a reader of the state depends on: the quantizers' names and the buffers they expect.
json BuffersByQuantizer(const json& state, size_t mode) {
  json buffers = json::object();
  const json& entry = state["modelopt_state_dict"][mode]["tuple"][1];
  for (const auto& [name, quantizer] : entry["metadata"]["quantizer_state"].items()) {
    const auto metadata = quantizer.find("_pytorch_state_metadata");
    buffers[name] = metadata == quantizer.end() ? json::object() : (*metadata)["buffers"];
  }
  return buffers;
}

TEST(ModelOptState, HasTheContentOfModelOptsOwn) {
  const json ours = test::ReadTorchArchive(ModelOptState(Recipe(), DrafterModules()));
  const json theirs = Golden("modelopt_state.pt");
  const json difference = json::diff(theirs, ours);
  EXPECT_TRUE(difference.empty()) << difference.dump().substr(0, 2000);
}

TEST(ModelOptState, HasTheQuantizersOfTheMinimalOneThatModelOptRestores) {
  const json ours = test::ReadTorchArchive(ModelOptState(Recipe(), DrafterModules()));
  const json minimal = Golden("handmade_minimal.pt");
  for (const size_t mode : {0u, 1u}) {
    EXPECT_EQ(BuffersByQuantizer(ours, mode), BuffersByQuantizer(minimal, mode));
  }
}

TEST(ModelOptState, WeightOnlyLeavesInputQuantizersOff) {
  const Recipe recipe = ParseRecipe("w4a16");
  const json state = test::ReadTorchArchive(ModelOptState(recipe, DrafterModules()));
  const json& modes = state["modelopt_state_dict"];
  const json& quantizers = modes[1]["tuple"][1]["metadata"]["quantizer_state"];
  EXPECT_EQ(quantizers.size(), 30u);
  EXPECT_EQ(quantizers["fc.input_quantizer"]["_disabled"], true);
  EXPECT_EQ(quantizers["fc.weight_quantizer"]["_disabled"], false);
  EXPECT_TRUE(quantizers["fc.input_quantizer"]["_pytorch_state_metadata"]["buffers"].empty());
  const json& entries = modes[0]["tuple"][1]["config"]["quant_cfg"];
  EXPECT_TRUE(std::none_of(entries.begin(), entries.end(), [](const json& entry) {
    return entry["quantizer_name"] == "*input_quantizer";
  }));
}

TEST(ModelOptState, IsATorchArchive) {
  EXPECT_THAT(
      test::TorchArchiveEntries(ModelOptState(Recipe(), DrafterModules())),
      ElementsAre("modelopt_state/data.pkl", "modelopt_state/byteorder", "modelopt_state/version"));
}

}  // namespace
}  // namespace talon
