// What is quantized, kept or left out, how scales are shared, and what is refused.
#include "talon/quantize/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "talon/base/error.h"
#include "talon/numeric/bf16.h"
#include "talon/quantize/ledger.h"
#include "tests/support/checkpoint_editor.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

namespace fs = std::filesystem;
using test::CheckpointEditor;
using ::testing::AllOf;
using ::testing::HasSubstr;

fs::path Drafter() { return test::DemoPath("drafter"); }

const PlannedTensor& Find(const QuantizationPlan& plan, const std::string& name) {
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.source->name == name) return tensor;
  }
  throw std::runtime_error("no " + name);
}

InputAmax AllAmax() {
  InputAmax amax = {{"fc", 8.0f}};
  float value = 1.0f;
  for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                           "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
    amax[std::string("layers.0.") + name] = value;
    value += 1.0f;
  }
  return amax;
}

class Plan : public ::testing::Test {
 protected:
  // Plans a copy of the demo drafter after `spoil`; the error's sentence, or "accepted".
  std::string ErrorOf(const std::function<void(CheckpointEditor&)>& spoil,
                      const Recipe& recipe = ParseRecipe("w4a16")) {
    const test::TempDir folder;
    CheckpointEditor editor(Drafter());
    spoil(editor);
    editor.Write(folder.path() / "model");
    try {
      const ModelFiles files = ModelFiles::Open(folder.path() / "model");
      QuantizationPlan plan = MakePlan(files, recipe, nullptr, pool_);
      SetScales(files, {}, plan, pool_);
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kInternal);
      return error.what();
    }
    return "accepted";
  }

  ThreadPool pool_{2};
};

TEST_F(Plan, QuantizesTheLinearsAndKeepsTheRest) {
  const ModelFiles source = ModelFiles::Open(Drafter());
  const QuantizationPlan plan = MakePlan(source, Recipe(), nullptr, pool_);
  EXPECT_EQ(plan.tensors.size(), 16u);
  for (const PlannedTensor& tensor : plan.tensors) {
    const bool linear = tensor.source->shape.size() == 2 &&
                        tensor.source->name != "lm_head.weight" &&
                        tensor.source->name != "embed_tokens.weight";
    EXPECT_EQ(tensor.action, linear ? TensorAction::kQuantize : TensorAction::kKeep)
        << tensor.source->name;
  }
}

TEST_F(Plan, SharesMaximaBeforeScalesAreFormed) {
  const ModelFiles source = ModelFiles::Open(Drafter());
  QuantizationPlan plan = MakePlan(source, Recipe(), nullptr, pool_);
  SetScales(source, AllAmax(), plan, pool_);
  for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
    const PlannedTensor& tensor = Find(plan, fmt::format("layers.0.self_attn.{}.weight", name));
    EXPECT_EQ(tensor.weight_amax, 0.29296875f);  // v_proj's, of about.json
    EXPECT_EQ(tensor.input_amax, 3.0f);          // v_proj's
    EXPECT_EQ(tensor.input_scale, 3.0f / 2688.0f);
  }
  for (const char* name : {"gate_proj", "up_proj"}) {
    const PlannedTensor& tensor = Find(plan, fmt::format("layers.0.mlp.{}.weight", name));
    EXPECT_EQ(tensor.weight_amax, 0.2578125f);  // up_proj's
    EXPECT_EQ(tensor.input_amax, 6.0f);
  }
  EXPECT_EQ(Find(plan, "layers.0.mlp.down_proj.weight").input_amax, 7.0f);
  EXPECT_EQ(Find(plan, "fc.weight").weight_amax, 0.52734375f);
}

TEST_F(Plan, OptionsForEmbeddingAndLmHead) {
  const ModelFiles source = ModelFiles::Open(Drafter());
  Recipe recipe;
  recipe.quantize_lm_head = true;
  recipe.embedding = EmbeddingMode::kNvfp4;
  const QuantizationPlan plan = MakePlan(source, recipe, nullptr, pool_);
  EXPECT_EQ(Find(plan, "lm_head.weight").action, TensorAction::kQuantize);
  EXPECT_FALSE(Find(plan, "lm_head.weight").weight_only);
  EXPECT_EQ(Find(plan, "embed_tokens.weight").action, TensorAction::kQuantize);
  EXPECT_TRUE(Find(plan, "embed_tokens.weight").weight_only);

  recipe.embedding = EmbeddingMode::kShare;
  EXPECT_EQ(Find(MakePlan(source, recipe, nullptr, pool_), "embed_tokens.weight").action,
            TensorAction::kDrop);
}

TEST_F(Plan, EmbeddingIsLeftOutOnlyWhenItEqualsTheVerifiers) {
  const fs::path verifier_path = test::SharedPath("models/tiny-gemma4/verifier");
  TALON_REQUIRE_PATH(verifier_path);
  const ModelFiles verifier = ModelFiles::Open(verifier_path);
  const ModelFiles source = ModelFiles::Open(Drafter());
  EXPECT_EQ(Find(MakePlan(source, Recipe(), &verifier, pool_), "embed_tokens.weight").action,
            TensorAction::kDrop);

  const test::TempDir folder;
  CheckpointEditor editor(Drafter());
  editor.tensors.at("embed_tokens.weight").At<uint16_t>(3145727) ^= 1;  // the last element
  editor.Write(folder.path() / "changed");
  const ModelFiles changed = ModelFiles::Open(folder.path() / "changed");
  EXPECT_EQ(Find(MakePlan(changed, Recipe(), &verifier, pool_), "embed_tokens.weight").action,
            TensorAction::kKeep);
  Recipe share;
  share.embedding = EmbeddingMode::kShare;
  EXPECT_THROW(MakePlan(changed, share, &verifier, pool_), Error);
}

TEST_F(Plan, RefusesAPairThatDoesNotBelongTogether) {
  const ModelFiles source = ModelFiles::Open(Drafter());
  const ModelFiles other = ModelFiles::Open(test::TestData("gemma4-dense"));
  try {
    MakePlan(source, Recipe(), &other, pool_);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("vocab_size is 8192"), HasSubstr("512")));
  }
  EXPECT_THROW(MakePlan(source, Recipe(), &source, pool_), Error);
}

TEST_F(Plan, RefusesACalibrationThatDidNotReachEveryLinear) {
  const ModelFiles source = ModelFiles::Open(Drafter());
  for (const auto& [module, value] : AllAmax()) {
    InputAmax amax = AllAmax();
    amax.erase(module);
    QuantizationPlan plan = MakePlan(source, Recipe(), nullptr, pool_);
    try {
      SetScales(source, amax, plan, pool_);
      FAIL() << "accepted without " << module;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr(fmt::format("'{}'", module)),
                                      HasSubstr("the calibration never reached it")));
    }
  }
}

TEST_F(Plan, RefusesAnAmaxOfAnUnknownLinear) {
  const ModelFiles source = ModelFiles::Open(Drafter());
  InputAmax amax = AllAmax();
  amax["layers.1.mlp.up_proj"] = 1.0f;
  QuantizationPlan plan = MakePlan(source, Recipe(), nullptr, pool_);
  EXPECT_THROW(SetScales(source, amax, plan, pool_), Error);
}

TEST_F(Plan, RefusesFaultyTensors) {
  EXPECT_THAT(ErrorOf([](CheckpointEditor& editor) { editor.tensors.erase("fc.weight"); }),
              AllOf(HasSubstr("'fc.weight'"), HasSubstr("[384, 1152] is missing")));
  EXPECT_THAT(ErrorOf([](CheckpointEditor& editor) {
                editor.tensors.at("fc.weight").shape = {1152, 384};
              }),
              AllOf(HasSubstr("'fc.weight' has shape [1152, 384]"), HasSubstr("[384, 1152]")));
  EXPECT_THAT(
      ErrorOf([](CheckpointEditor& editor) { editor.tensors.at("fc.weight").dtype = DType::kF16; }),
      HasSubstr("'fc.weight' is F16"));
  EXPECT_THAT(ErrorOf([](CheckpointEditor& editor) {
                editor.tensors.at("fc.weight").At<uint16_t>(100) = 0x7F80;
              }),
              HasSubstr("inf at element 100"));
  EXPECT_THAT(ErrorOf([](CheckpointEditor& editor) {
                editor.tensors["stray.weight"] = editor.tensors.at("norm.weight");
              }),
              HasSubstr("'stray.weight' [384] is not part of an EAGLE-3 drafter"));
}

TEST_F(Plan, RefusesWhatIsQuantizedAlready) {
  const ModelFiles source = ModelFiles::Open(test::TestData("modelopt-nvfp4-drafter"));
  try {
    MakePlan(source, Recipe(), nullptr, pool_);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("is quantized already"));
  }
}

TEST_F(Plan, AZeroTensorGetsAPositiveScale) {
  const test::TempDir folder;
  CheckpointEditor editor(Drafter());
  std::fill(editor.tensors.at("fc.weight").bytes.begin(),
            editor.tensors.at("fc.weight").bytes.end(), std::byte{0});
  editor.Write(folder.path() / "model");
  const ModelFiles source = ModelFiles::Open(folder.path() / "model");
  QuantizationPlan plan = MakePlan(source, ParseRecipe("w4a16"), nullptr, pool_);
  SetScales(source, {}, plan, pool_);
  EXPECT_GT(Find(plan, "fc.weight").weight_scale_2, 0.0f);
}

TEST_F(Plan, VerifiersKeepEmbeddingAndTiedHead) {
  const ModelFiles source = ModelFiles::Open(test::TestData("gemma4-dense"));
  const QuantizationPlan plan = MakePlan(source, ParseRecipe("w4a16"), nullptr, pool_);
  EXPECT_EQ(Find(plan, "model.embed_tokens.weight").action, TensorAction::kKeep);
  EXPECT_EQ(Find(plan, "model.layers.5.self_attn.k_proj.weight").action, TensorAction::kQuantize);
  EXPECT_EQ(Find(plan, "model.layers.0.layer_scalar").action, TensorAction::kKeep);
  Recipe recipe = ParseRecipe("w4a16");
  recipe.quantize_lm_head = true;
  EXPECT_THROW(MakePlan(source, recipe, nullptr, pool_), Error);
  recipe = ParseRecipe("w4a16");
  recipe.embedding = EmbeddingMode::kShare;
  EXPECT_THROW(MakePlan(source, recipe, nullptr, pool_), Error);
}

// 16 bits become 4 + 8 / 16; the ledger of the 31B drafter's arithmetic in specs/eagle3.md 1.4.
TEST_F(Plan, LedgerCountsBytesBeforeAndAfter) {
  const ModelFiles source = ModelFiles::Open(Drafter());
  const ByteLedger ledger = MakeLedger(MakePlan(source, ParseRecipe("w4a16"), nullptr, pool_));
  int64_t before = 0;
  for (const auto& [name, tensor] : source.store.tensors()) {
    before += static_cast<int64_t>(tensor.bytes.size());
  }
  EXPECT_EQ(ledger.total.before_bytes, before);
  const LedgerRow& mlp = ledger.rows[3];
  EXPECT_EQ(mlp.part, "mlp");
  EXPECT_EQ(mlp.num_parameters, 3 * 384 * 1536);
  EXPECT_EQ(mlp.before_bytes, mlp.num_parameters * 2);
  EXPECT_EQ(mlp.after_bytes, mlp.num_parameters / 2 + mlp.num_parameters / 16 + 3 * 4);
  EXPECT_THAT(FormatLedger(ledger, /*compare=*/true), HasSubstr("BF16 -> NVFP4"));
}

}  // namespace
}  // namespace talon
