// From the same drafter and the same input maxima Talon writes the tensors that NVIDIA ModelOpt
// wrote, byte for byte: the whole W4A4 checkpoint, and the quantized linears of the W4A16 form.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "talon/quantize/amax.h"
#include "talon/quantize/check.h"
#include "talon/quantize/export.h"
#include "talon/quantize/plan.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

const fs::path kDrafter = test::DemoPath("drafter");

fs::path Golden(const std::string& name) { return test::TestData("modelopt-nvfp4-drafter") / name; }

// Quantizes the demo drafter into `output`.
void Quantize(const Recipe& recipe, const InputAmax& amax, const fs::path& output) {
  ThreadPool pool(2);
  const ModelFiles source = ModelFiles::Open(kDrafter);
  QuantizationPlan plan = MakePlan(source, recipe, nullptr, pool);
  SetScales(source, amax, plan, pool);
  ExportRequest request;
  request.source = &source;
  request.source_name = "models/demo/drafter";
  request.plan = &plan;
  request.version = "test";
  ExportCheckpoint(request, output, pool);
}

void ExpectSameTensor(const TensorView& ours, const TensorView& theirs) {
  SCOPED_TRACE(theirs.name);
  EXPECT_EQ(ours.dtype, theirs.dtype);
  EXPECT_EQ(ours.shape, theirs.shape);
  EXPECT_TRUE(std::ranges::equal(ours.bytes, theirs.bytes));
}

Recipe KeepEmbedding(Recipe recipe) {
  recipe.embedding = EmbeddingMode::kKeep;
  return recipe;
}

TEST(ByteIdentity, AllTensorsOfTheW4a4Export) {
  const test::TempDir folder;
  const fs::path output = folder.path() / "out";
  Quantize(KeepEmbedding(ParseRecipe("max")), ReadAmaxFile(Golden("amax.json")), output);
  const TensorStore ours = TensorStore::Open(output);
  const TensorStore theirs = TensorStore::Open(Golden(""));
  EXPECT_EQ(ours.tensors().size(), theirs.tensors().size());
  for (const auto& [name, tensor] : theirs.tensors()) ExpectSameTensor(ours.Get(name), tensor);
  // The header, too: the whole file is the same.
  EXPECT_EQ(ReadTextFile(output / "model.safetensors"), ReadTextFile(Golden("model.safetensors")));
}

TEST(ByteIdentity, TheLinearsOfTheW4a16Export) {
  const test::TempDir folder;
  const fs::path output = folder.path() / "out";
  Quantize(KeepEmbedding(ParseRecipe("w4a16")), {}, output);
  const TensorStore ours = TensorStore::Open(output);
  const TensorStore theirs = TensorStore::Open(Golden("variant-w4a16"));
  EXPECT_EQ(theirs.tensors().size(), 24u);
  for (const auto& [name, tensor] : theirs.tensors()) ExpectSameTensor(ours.Get(name), tensor);
  for (const auto& [name, tensor] : ours.tensors()) {
    EXPECT_FALSE(name.ends_with(".input_scale")) << name;
  }
}

// A GPU export multiplies by the reciprocal: these five scalars move by one bit, and only these.
TEST(ByteIdentity, GpuDivisionMovesTheScalesThatAboutJsonNames) {
  const test::TempDir folder;
  const fs::path output = folder.path() / "out";
  Recipe recipe = KeepEmbedding(ParseRecipe("max"));
  recipe.division = ScaleDivision::kGpu;
  Quantize(recipe, ReadAmaxFile(Golden("amax.json")), output);
  const TensorStore ours = TensorStore::Open(output);
  const TensorStore theirs = TensorStore::Open(Golden(""));
  std::vector<std::string> moved;
  for (const auto& [name, tensor] : theirs.tensors()) {
    if (tensor.num_elements() == 1 && !std::ranges::equal(ours.Get(name).bytes, tensor.bytes)) {
      moved.push_back(name);
    }
  }
  EXPECT_THAT(moved,
              ::testing::ElementsAre("fc.weight_scale_2", "layers.0.mlp.gate_proj.weight_scale_2",
                                     "layers.0.mlp.up_proj.weight_scale_2",
                                     "layers.0.self_attn.o_proj.input_scale"));
}

TEST(ByteIdentity, ConfigsSayWhatModelOptsSay) {
  const test::TempDir folder;
  const fs::path output = folder.path() / "out";
  Quantize(KeepEmbedding(ParseRecipe("max")), ReadAmaxFile(Golden("amax.json")), output);
  Json config = ReadJsonFile(output / "config.json");
  EXPECT_EQ(config["auto_map"]["AutoConfig"], "config.Eagle3SpeculatorConfig");
  config["auto_map"].erase("AutoConfig");
  EXPECT_EQ(config, ReadJsonFile(Golden("config.json")));
  EXPECT_EQ(ReadTextFile(output / "hf_quant_config.json"),
            ReadTextFile(Golden("hf_quant_config.json")));

  const fs::path weight_only = folder.path() / "w4a16";
  Quantize(KeepEmbedding(ParseRecipe("w4a16")), {}, weight_only);
  EXPECT_EQ(ReadTextFile(weight_only / "hf_quant_config.json"),
            ReadTextFile(Golden("variant-w4a16/hf_quant_config.json")));
}

TEST(ByteIdentity, BothFormsAreSound) {
  const test::TempDir folder;
  ThreadPool pool(2);
  Quantize(KeepEmbedding(ParseRecipe("max")), ReadAmaxFile(Golden("amax.json")),
           folder.path() / "w4a4");
  Quantize(KeepEmbedding(ParseRecipe("w4a16")), {}, folder.path() / "w4a16");
  for (const char* name : {"w4a4", "w4a16"}) {
    const CheckReport report = CheckCheckpoint(folder.path() / name, nullptr, pool);
    EXPECT_TRUE(report.ok()) << FormatReport(report);
  }
  const CheckReport golden = CheckCheckpoint(Golden(""), nullptr, pool);
  EXPECT_TRUE(golden.ok()) << FormatReport(golden);
}

}  // namespace
}  // namespace talon
