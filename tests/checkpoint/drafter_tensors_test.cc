// Vocabulary maps, name prefixes and configs read together with their tensors.
#include "talon/checkpoint/drafter_tensors.h"

#include <gtest/gtest.h>

#include "talon/checkpoint/model_kind.h"
#include "talon/checkpoint/read_config.h"
#include "talon/checkpoint/tensor_names.h"
#include "tests/checkpoint/safetensors_builder.h"
#include "tests/checkpoint/tensor_fixture.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::ExpectError;
using test::MakeTensor;
using test::MemoryTensors;
using test::TestData;
using test::ZeroTensor;

// Draft rows 0..3 stand for tokens 1, 2, 5, 7 of a vocabulary of 8.
class DraftOffsets : public testing::Test {
 protected:
  void SetUp() override {
    config_.vocab_size = 8;
    config_.draft_vocab_size = 4;
    SetOffsets({1, 1, 3, 4});
    tensors_["t2d"] = MakeTensor<uint8_t>(DType::kBool, {8}, {0, 1, 1, 0, 0, 1, 0, 1});
  }
  void SetOffsets(const std::vector<int64_t>& offsets) {
    tensors_["d2t"] =
        MakeTensor<int64_t>(DType::kI64, {static_cast<int64_t>(offsets.size())}, offsets);
  }
  std::vector<int32_t> Load() {
    return LoadDraftOffsets(test::WriteTensors(folder_.path() / "model.safetensors", tensors_),
                            config_);
  }
  void ExpectRefused(const std::string& message) {
    ExpectError(ErrorCode::kDataLoss, message, [&] { Load(); });
  }

  Eagle3Config config_;
  MemoryTensors tensors_;

 private:
  test::TempDir folder_;
};

TEST_F(DraftOffsets, Consistent) {
  EXPECT_EQ(Load(), (std::vector<int32_t>{1, 1, 3, 4}));
  tensors_.erase("t2d");
  EXPECT_EQ(Load(), (std::vector<int32_t>{1, 1, 3, 4}));
}

TEST_F(DraftOffsets, EqualVocabulariesNeedNoMap) {
  tensors_ = {{"norm.weight", ZeroTensor(DType::kBF16, {4})}};
  ExpectError(ErrorCode::kNotFound, "tensor 'd2t' is missing", [&] { Load(); });
  config_.draft_vocab_size = 8;
  EXPECT_EQ(Load(), std::vector<int32_t>(8, 0));
  tensors_["t2d"] = MakeTensor<uint8_t>(DType::kBool, {8}, {1, 1, 1, 1, 1, 1, 1, 0});
  ExpectRefused("'t2d': [7] is false, but d2t says that token 7 is drafted");
}

TEST_F(DraftOffsets, RefusesTargetsOutsideTheVocabulary) {
  SetOffsets({1, 1, 3, 5});
  ExpectRefused("'d2t': [3] = 5 leads to token 3 + 5, outside the vocabulary of 8");
  SetOffsets({-1, 1, 3, 4});
  ExpectRefused("'d2t': [0] = -1");
  SetOffsets({1, 1, 3, INT64_MAX});
  ExpectRefused("'d2t': [3] = 9223372036854775807");
  SetOffsets({1, 1, INT64_MIN, 4});
  ExpectRefused("'d2t': [2] = -9223372036854775808");
}

TEST_F(DraftOffsets, RefusesTargetsThatDoNotRise) {
  SetOffsets({1, 0, 3, 4});
  ExpectRefused("'d2t': [1] = 0 leads to token 1, not above token 1 of the row before");
  // Target ids instead of offsets, a common mistake.
  SetOffsets({1, 2, 5, 7});
  ExpectRefused("'d2t': [3] = 7 leads to token 3 + 7, outside");
}

TEST_F(DraftOffsets, RefusesAContradictingMask) {
  tensors_["t2d"] = MakeTensor<uint8_t>(DType::kBool, {8}, {0, 1, 1, 1, 0, 1, 0, 1});
  ExpectRefused("'t2d': [3] is true, but d2t says that token 3 is not drafted");
  tensors_["t2d"] = MakeTensor<uint8_t>(DType::kBool, {8}, {0, 1, 1, 0, 0, 1, 0, 0});
  ExpectRefused("'t2d': [7] is false, but d2t says that token 7 is drafted");
  tensors_["t2d"] = MakeTensor<uint8_t>(DType::kBool, {8}, {0, 1, 1, 0, 0, 2, 0, 1});
  ExpectRefused("'t2d': [5] is 2, expected 0 or 1");
}

TEST_F(DraftOffsets, RefusesWrongTypesAndShapes) {
  tensors_["d2t"] = MakeTensor<int32_t>(DType::kI32, {4}, {1, 1, 3, 4});
  ExpectRefused("'d2t': found I32 [4], expected I64 [4]");
  SetOffsets({1, 1, 3});
  ExpectRefused("'d2t': found I64 [3], expected I64 [4]");
  SetOffsets({1, 1, 3, 4});
  tensors_["t2d"] = ZeroTensor(DType::kU8, {8});
  ExpectRefused("'t2d': found U8 [8], expected BOOL [8]");
}

TEST(DraftOffsetsOfFixtures, AreConsistent) {
  const std::filesystem::path folder = TestData("modelopt-nvfp4-drafter");
  const TensorStore store = TensorStore::Open(folder);
  const Eagle3Config config = ReadEagle3Config(folder, store);
  EXPECT_EQ(config.layer_prefix, "layers.0.");
  const std::vector<int32_t> offsets = LoadDraftOffsets(store, config);
  ASSERT_EQ(offsets.size(), 4096U);
  for (size_t k = 1; k < offsets.size(); ++k) EXPECT_GE(offsets[k], offsets[k - 1]);
}

TEST(DraftOffsetsOfFixtures, TinyDrafter) {
  const std::filesystem::path folder = test::SharedPath("models/tiny-gemma4/drafter");
  TALON_REQUIRE_PATH(folder);
  const TensorStore store = TensorStore::Open(folder);
  EXPECT_EQ(LoadDraftOffsets(store, ReadEagle3Config(folder, store)).size(), 4096U);
}

TEST(TensorNames, GemmaPrefixes) {
  const test::TempDir folder;
  const std::filesystem::path path = folder.path() / "model.safetensors";
  for (const std::string prefix : {"model.", "model.language_model.", "language_model.model."}) {
    MemoryTensors tensors = {{prefix + "embed_tokens.weight", ZeroTensor(DType::kBF16, {1})},
                             {"model.vision_tower.x", ZeroTensor(DType::kBF16, {1})}};
    EXPECT_EQ(GemmaTensorPrefix(test::WriteTensors(path, tensors)), prefix);
  }
  ExpectError(ErrorCode::kNotFound, "no embed_tokens under", [&] {
    GemmaTensorPrefix(test::WriteTensors(path, {{"x", ZeroTensor(DType::kU8, {1})}}));
  });
}

TEST(TensorNames, DrafterPrefixes) {
  const test::TempDir folder;
  const std::filesystem::path path = folder.path() / "model.safetensors";
  MemoryTensors tensors = {{"midlayer.hidden_norm.weight", ZeroTensor(DType::kBF16, {1})}};
  EXPECT_EQ(DrafterLayerPrefix(test::WriteTensors(path, tensors)), "midlayer.");
  tensors["layers.0.hidden_norm.weight"] = ZeroTensor(DType::kBF16, {1});
  ExpectError(ErrorCode::kDataLoss, "has both",
              [&] { DrafterLayerPrefix(test::WriteTensors(path, tensors)); });
  tensors.erase("midlayer.hidden_norm.weight");
  EXPECT_EQ(DrafterLayerPrefix(test::WriteTensors(path, tensors)), "layers.0.");
  ExpectError(ErrorCode::kNotFound, "is this an EAGLE-3 drafter?", [&] {
    DrafterLayerPrefix(test::WriteTensors(path, {{"x", ZeroTensor(DType::kU8, {1})}}));
  });
}

TEST(ReadConfig, RefusesTensorsThatTheConfigDoesNotAnnounce) {
  const test::TempDir folder;
  std::filesystem::copy_file(TestData("tiny-gemma4/drafter/config.json"),
                             folder.path() / "config.json");
  const auto read = [&](const std::string& name) {
    const TensorStore store =
        test::WriteTensors(folder.path() / "model.safetensors",
                           {{"layers.0.hidden_norm.weight", ZeroTensor(DType::kBF16, {1})},
                            {name, ZeroTensor(DType::kBF16, {1})}});
    return ReadEagle3Config(folder.path(), store);
  };
  EXPECT_EQ(read("norm.weight").hidden_size, 384);
  const auto refused = [&](const std::string& name, const std::string& field) {
    ExpectError(ErrorCode::kUnsupported, "tensor '" + name + "': does not fit field '" + field,
                [&] { read(name); });
  };
  refused("input_norm.weight", "norm_before_fc");
  refused("fc_norm.0.weight", "fc_norm");
  refused("layers.1.mlp.up_proj.weight", "num_hidden_layers");
  refused("layers.0.self_attn.q_norm.weight", "model_type");
}

TEST(ReadConfig, GemmaFixture) {
  const std::filesystem::path folder = TestData("gemma4-dense");
  const TensorStore store = TensorStore::Open(folder);
  EXPECT_EQ(ReadGemmaConfig(folder, store).tensor_prefix, "model.");
}

TEST(ModelKind, OfFixturesAndOthers) {
  EXPECT_EQ(DetectModelKind(TestData("gemma4-dense")), ModelKind::kGemma);
  EXPECT_EQ(DetectModelKind(TestData("gemma3")), ModelKind::kGemma);
  EXPECT_EQ(DetectModelKind(TestData("gemma4-moe")), ModelKind::kGemma);
  EXPECT_EQ(DetectModelKind(TestData("tiny-gemma4/drafter")), ModelKind::kEagle3Drafter);
  EXPECT_EQ(DetectModelKind(TestData("modelopt-nvfp4-drafter")), ModelKind::kEagle3Drafter);
  EXPECT_EQ(KindOf(Json{{"architectures", {"LlamaForCausalLMEagle3"}}, {"model_type", "llama"}}),
            ModelKind::kEagle3Drafter);
  EXPECT_EQ(KindOf(Json{{"model_type", "llama"}}), ModelKind::kUnknown);
  EXPECT_EQ(KindOf(Json{{"model_type", 4}, {"architectures", "x"}}), ModelKind::kUnknown);
  EXPECT_EQ(KindOf(Json::array()), ModelKind::kUnknown);
  ExpectError(ErrorCode::kNotFound, "config.json",
              [] { DetectModelKind(TestData("vllm-eagle3")); });
}

}  // namespace
}  // namespace talon
