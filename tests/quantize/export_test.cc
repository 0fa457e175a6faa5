// The files around the tensors.
#include "talon/quantize/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "talon/base/error.h"
#include "talon/base/hash.h"
#include "talon/quantize/check.h"
#include "talon/quantize/model_card.h"
#include "talon/quantize/plan.h"
#include "talon/quantize/synthetic_drafter.h"
#include "tests/support/checkpoint_editor.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

fs::path Drafter() { return test::DemoPath("drafter"); }

void WriteText(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

class Export : public ::testing::Test {
 protected:
  ExportResult Run(const fs::path& source_path, const Recipe& recipe, bool full_hash = false) {
    const ModelFiles source = ModelFiles::Open(source_path);
    QuantizationPlan plan = MakePlan(source, recipe, nullptr, pool_);
    SetScales(source, {}, plan, pool_);
    ExportRequest request;
    request.source = &source;
    request.source_name = "org/drafter";
    request.plan = &plan;
    request.version = "1.2.3";
    request.command = {"talon", "quantize"};
    request.full_hash = full_hash;
    return ExportCheckpoint(request, output(), pool_);
  }

  fs::path output() const { return folder_.path() / "drafter-nvfp4"; }
  std::string Text(const char* name) const { return ReadTextFile(output() / name); }

  std::vector<std::string> FileNames() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(output())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  // A copy of the demo drafter that tests add files to.
  fs::path SourceCopy() const {
    const fs::path source = folder_.path() / "source";
    fs::create_directory(source);
    for (const char* name : {"config.json", "model.safetensors"}) {
      fs::copy_file(Drafter() / name, source / name);
    }
    return source;
  }

  test::TempDir folder_;
  ThreadPool pool_{2};
};

TEST_F(Export, WritesEveryFileAndSaysWhatItCouldNot) {
  const ExportResult result = Run(Drafter(), ParseRecipe("w4a16"));
  EXPECT_THAT(
      FileNames(),
      UnorderedElementsAre("model.safetensors", "config.json", "hf_quant_config.json", "config.py",
                           "modelopt_state.pt", "talon_provenance.json", "README.md"));
  EXPECT_THAT(result.notes, ElementsAre(HasSubstr("tokenizer.json: neither"),
                                        HasSubstr("tokenizer_config.json: neither")));
}

TEST_F(Export, TakesTheSourcesCompanions) {
  const fs::path source = SourceCopy();
  WriteText(source / "tokenizer.json", "{}");
  WriteText(source / "tokenizer_config.json", "{}");
  WriteText(source / "LICENSE", "Terms\n");
  WriteText(source / "config.py", "# the source's own\n");
  const ExportResult result = Run(source, ParseRecipe("w4a16"));
  EXPECT_TRUE(result.notes.empty());
  EXPECT_EQ(Text("LICENSE"), "Terms\n");
  EXPECT_EQ(Text("config.py"), "# the source's own\n");
  EXPECT_EQ(Text("tokenizer.json"), "{}");
}

TEST_F(Export, NamesItsConfigClassWhereTransformersLooks) {
  const fs::path source = SourceCopy();
  Json config = ReadJsonFile(source / "config.json");
  config["auto_map"] = {{"", "eagle3.Eagle3SpeculatorConfig"}};
  WriteText(source / "config.json", config.dump());
  Run(source, ParseRecipe("w4a16"));
  const Json written = ReadJsonFile(output() / "config.json");
  EXPECT_EQ(written["auto_map"]["AutoConfig"], "config.Eagle3SpeculatorConfig");
  EXPECT_EQ(written["auto_map"][""], "config.Eagle3SpeculatorConfig");
  EXPECT_THAT(Text("config.py"), HasSubstr("class Eagle3SpeculatorConfig(PretrainedConfig)"));
}

TEST_F(Export, ModelCardHasFrontMatterTablesAndServeLine) {
  const fs::path source = SourceCopy();
  WriteText(source / "README.md", "---\nlicense: apache-2.0\ntags:\n- x\n---\n# Source\n");
  Run(source, ParseRecipe("w4a16"));
  const std::string card = Text("README.md");
  EXPECT_EQ(card.rfind("---\nlicense: apache-2.0\nbase_model: org/drafter\n", 0), 0u) << card;
  EXPECT_THAT(card, HasSubstr("base_model_relation: quantized\n"));
  EXPECT_THAT(card, HasSubstr("| recipe | `w4a16` (ModelOpt's W4A16_NVFP4_CFG) |"));
  EXPECT_THAT(card, HasSubstr("| `model.safetensors` | 11.1 MB |"));
  EXPECT_THAT(card, HasSubstr("vllm serve ../verifier --speculative-config '{\"method\": "
                              "\"eagle3\", \"model\": \"./drafter-nvfp4\", "
                              "\"num_speculative_tokens\": 3}'"));
}

TEST_F(Export, MeasuredAcceptanceReplacesItsSectionOnly) {
  Run(Drafter(), ParseRecipe("w4a16"));
  const std::string card = Text("README.md");
  const std::string once = ReplaceMeasuredSection(card, "| a | 3.14 |\n", "README.md");
  const std::string twice = ReplaceMeasuredSection(once, "| a | 2.72 |", "README.md");
  EXPECT_THAT(once, HasSubstr("| a | 3.14 |\n<!-- talon"));
  EXPECT_THAT(once, Not(HasSubstr("Not measured yet")));
  EXPECT_THAT(twice, HasSubstr("| a | 2.72 |\n<!-- talon"));
  EXPECT_THAT(twice, Not(HasSubstr("3.14")));
  EXPECT_EQ(twice.substr(twice.find("## Use")), card.substr(card.find("## Use")));
  EXPECT_THROW(ReplaceMeasuredSection("# other card\n", "x", "README.md"), Error);
}

TEST_F(Export, ProvenanceNamesSourcesRecipeAndCommand) {
  Run(Drafter(), ParseRecipe("w4a16"), /*full_hash=*/true);
  const Json record = ReadJsonFile(output() / "talon_provenance.json");
  EXPECT_EQ(record["tool"]["version"], "1.2.3");
  EXPECT_EQ(record["command"], Json::array({"talon", "quantize"}));
  EXPECT_EQ(record["recipe"]["name"], "w4a16");
  EXPECT_TRUE(record["calibration"].is_null());
  EXPECT_EQ(record["linears"]["fc"]["weight_amax"], 0.52734375);
  const std::string weights = ReadTextFile(Drafter() / "model.safetensors");
  const Json& files = record["sources"]["model"]["files"];
  EXPECT_TRUE(std::any_of(files.begin(), files.end(), [&](const Json& file) {
    return file["sha256"] == Sha256Hex(weights);
  })) << files;
}

TEST_F(Export, IsReproducible) {
  Run(Drafter(), ParseRecipe("w4a16"));
  std::map<std::string, std::string> first;
  for (const std::string& name : FileNames()) first[name] = Text(name.c_str());
  fs::remove_all(output());
  Run(Drafter(), ParseRecipe("w4a16"));
  for (const auto& [name, text] : first) EXPECT_EQ(Text(name.c_str()), text) << name;
}

TEST_F(Export, RefusesAnOutputThatExistsAndLeavesItAlone) {
  fs::create_directory(output());
  WriteText(output() / "mine", "x");
  try {
    Run(Drafter(), ParseRecipe("w4a16"));
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailedPrecondition);
    EXPECT_THAT(error.what(), HasSubstr("exists already"));
  }
  EXPECT_THAT(FileNames(), ElementsAre("mine"));
}

TEST_F(Export, EveryOptionGivesASoundCheckpoint) {
  Recipe recipe = ParseRecipe("w4a16");
  recipe.quantize_lm_head = true;
  recipe.embedding = EmbeddingMode::kNvfp4;
  Run(Drafter(), recipe);
  const CheckReport report = CheckCheckpoint(output(), nullptr, pool_);
  EXPECT_TRUE(report.ok()) << FormatReport(report);
  EXPECT_LT(report.bits_per_parameter(), 4.6);
  EXPECT_EQ(ReadJsonFile(output() / "hf_quant_config.json")["quantization"]["exclude_modules"],
            Json::array());
}

TEST_F(Export, AVerifierWithVisionWeights) {
  const fs::path source = folder_.path() / "source";
  test::CheckpointEditor editor(test::TestData("gemma4-dense"));
  std::map<std::string, test::EditableTensor> renamed;
  for (auto& [name, tensor] : editor.tensors) {
    renamed["model.language_model." + name.substr(std::string("model.").size())] = tensor;
  }
  renamed["model.vision_tower.blocks.0.fc1.weight"] = {
      DType::kBF16, {4, 4}, std::vector<std::byte>(32)};
  editor.tensors = std::move(renamed);
  editor.Write(source);
  Run(source, ParseRecipe("w4a16"));
  EXPECT_EQ(ReadJsonFile(output() / "config.json")["quantization_config"]["ignore"],
            Json::array({"lm_head", "model.language_model.embed_tokens", "model.vision_tower*"}));
  const TensorStore written = TensorStore::Open(output());
  EXPECT_EQ(written.Get("model.vision_tower.blocks.0.fc1.weight").dtype, DType::kBF16);
  EXPECT_EQ(written.Get("model.language_model.layers.0.mlp.up_proj.weight").dtype, DType::kU8);
  const CheckReport report = CheckCheckpoint(output(), nullptr, pool_);
  EXPECT_TRUE(report.ok()) << FormatReport(report);
}

TEST_F(Export, OlderDraftersKeepTheirLayerName) {
  const fs::path source = folder_.path() / "source";
  test::CheckpointEditor editor(Drafter());
  std::map<std::string, test::EditableTensor> renamed;
  for (auto& [name, tensor] : editor.tensors) {
    const bool layer = name.starts_with("layers.0.");
    renamed[layer ? "midlayer." + name.substr(9) : name] = tensor;
  }
  editor.tensors = std::move(renamed);
  editor.Write(source);
  Run(source, ParseRecipe("w4a16"));
  EXPECT_EQ(TensorStore::Open(output()).Get("midlayer.mlp.up_proj.weight").dtype, DType::kU8);
  const CheckReport report = CheckCheckpoint(output(), nullptr, pool_);
  EXPECT_TRUE(report.ok()) << FormatReport(report);
}

TEST(SyntheticDrafter, HasTheTensorsOfThe31bDrafter) {
  // specs/eagle3.md 1.2: 16 tensors, 4,470,640,640 bytes.
  const ModelLayout layout =
      DrafterLayout(ParseEagle3Config(SyntheticDrafterConfig("31b"), "synthetic"));
  EXPECT_EQ(layout.tensors.size(), 16u);
  int64_t total_bytes = 0;
  for (const auto& [name, tensor] : layout.tensors) {
    int64_t count = name == "d2t" ? 8 : name == "t2d" ? 1 : 2;
    for (const int64_t size : tensor.shape) count *= size;
    total_bytes += count;
  }
  EXPECT_EQ(total_bytes, 4470640640);
}

TEST(SyntheticDrafter, TinyOneIsSoundAndFixedByItsSeed) {
  const test::TempDir folder;
  ThreadPool pool(2);
  const Json config = SyntheticDrafterConfig("tiny");
  WriteSyntheticDrafter(config, 5, folder.path() / "a", pool);
  WriteSyntheticDrafter(config, 5, folder.path() / "b", pool);
  EXPECT_EQ(ReadTextFile(folder.path() / "a/model.safetensors"),
            ReadTextFile(folder.path() / "b/model.safetensors"));
  const CheckReport report = CheckCheckpoint(folder.path() / "a", nullptr, pool);
  EXPECT_TRUE(report.ok()) << FormatReport(report);
}

}  // namespace
}  // namespace talon
