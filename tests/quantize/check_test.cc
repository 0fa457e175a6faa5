// Every fault that `talon check` is there to find, planted in a sound checkpoint.
#include "talon/quantize/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "talon/base/error.h"
#include "tests/support/checkpoint_editor.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

namespace fs = std::filesystem;
using test::CheckpointEditor;
using ::testing::Contains;
using ::testing::HasSubstr;

MATCHER_P3(IsFinding, severity, where, what, "") {
  return arg.severity == severity && arg.where == where && arg.what.find(what) != std::string::npos;
}

fs::path QuantizedDrafter() { return test::TestData("modelopt-nvfp4-drafter"); }
fs::path PlainDrafter() { return test::DemoPath("drafter"); }

// The report on a copy of `source` after `spoil`.
CheckReport CheckSpoiled(const fs::path& source,
                         const std::function<void(CheckpointEditor&)>& spoil) {
  CheckpointEditor editor(source);
  spoil(editor);
  const test::TempDir folder;
  editor.Write(folder.path() / "model");
  ThreadPool pool(2);
  return CheckCheckpoint(folder.path() / "model", nullptr, pool);
}

// One error there, saying that, and no other error.
void ExpectOnlyError(const CheckReport& report, const std::string& where, const std::string& what) {
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(report.findings, Contains(IsFinding(Severity::kError, where, what)))
      << FormatReport(report);
  for (const Finding& finding : report.findings) {
    if (finding.severity == Severity::kError) {
      EXPECT_EQ(finding.where, where) << FormatReport(report);
    }
  }
}

constexpr char kUpScale[] = "layers.0.mlp.up_proj.weight_scale";

TEST(CheckTensors, MissingTensor) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    editor.tensors.erase("layers.0.hidden_norm.weight");
  });
  ExpectOnlyError(report, "layers.0.hidden_norm.weight", "is missing; expected shape [384]");
}

TEST(CheckTensors, ExtraTensor) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    editor.tensors["verifier_norm.weight"] = editor.tensors.at("norm.weight");
  });
  ExpectOnlyError(report, "verifier_norm.weight", "is not part of the model");
}

TEST(CheckTensors, MisshapedTensor) {
  const CheckReport report = CheckSpoiled(PlainDrafter(), [](CheckpointEditor& editor) {
    editor.tensors.at("fc.weight").shape = {1152, 384};
  });
  ExpectOnlyError(report, "fc.weight",
                  "has shape [1152, 384], but config.json asks for [384, 1152]");
}

TEST(CheckTensors, Fp32NormIsAWarning) {
  const CheckReport report = CheckSpoiled(PlainDrafter(), [](CheckpointEditor& editor) {
    test::EditableTensor& norm = editor.tensors.at("norm.weight");
    norm.dtype = DType::kF32;
    norm.bytes.resize(384 * 4);
  });
  EXPECT_TRUE(report.ok());
  EXPECT_THAT(report.findings,
              Contains(IsFinding(Severity::kWarning, "norm.weight", "convert it to BF16")))
      << FormatReport(report);
}

TEST(CheckTensors, NanWeight) {
  const CheckReport report = CheckSpoiled(PlainDrafter(), [](CheckpointEditor& editor) {
    editor.tensors.at("norm.weight").At<uint16_t>(7) = 0x7FC0;
  });
  ExpectOnlyError(report, "norm.weight", "nan at element 7");
}

TEST(CheckScales, NanBlockScaleWithItsIndex) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    editor.tensors.at(kUpScale).At<uint8_t>(24 * 5 + 3) = 0x7F;
    editor.tensors.at(kUpScale).At<uint8_t>(24 * 9 + 1) = 0xFF;
  });
  ExpectOnlyError(report, kUpScale, "2 NaN of 36864 block scales, first at [5, 3]");
}

TEST(CheckScales, ZeroBlockScaleWithItsIndex) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    editor.tensors.at(kUpScale).At<uint8_t>(24 * 2) = 0x00;
  });
  ExpectOnlyError(report, kUpScale, "1 zero of 36864 block scales, first at [2, 0]");
}

TEST(CheckScales, NegativeBlockScale) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    editor.tensors.at(kUpScale).At<uint8_t>(23) = 0xB8;
  });
  ExpectOnlyError(report, kUpScale, "1 negative of 36864 block scales, first at [0, 23]");
}

TEST(CheckScales, NanFp8WeightWithItsIndex) {
  const CheckReport report = CheckSpoiled(PlainDrafter(), [](CheckpointEditor& editor) {
    test::EditableTensor& fc = editor.tensors.at("fc.weight");
    fc.dtype = DType::kF8E4M3;
    fc.bytes.assign(384 * 1152, std::byte{0x38});
    fc.At<uint8_t>(1152 * 4 + 9) = 0x7F;
    fc.At<uint8_t>(1152 * 6 + 1) = 0xFF;
    editor.tensors["fc.weight_scale"] = {DType::kF32, {}, std::vector<std::byte>(4)};
    editor.tensors["fc.weight_scale"].At<float>(0) = 0.5f;
  });
  EXPECT_THAT(report.findings, Contains(IsFinding(Severity::kError, "fc.weight",
                                                  "2 NaN of 442368 FP8 weights, first at [4, 9]")))
      << FormatReport(report);
}

TEST(CheckScales, U8BlockScalesThatLoadersConvert) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    editor.tensors.at(kUpScale).dtype = DType::kU8;
  });
  ExpectOnlyError(report, kUpScale, "is U8: loaders convert the numbers silently");
}

TEST(CheckScales, Mxfp4IsNotNvfp4) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    test::EditableTensor& scale = editor.tensors.at(kUpScale);
    scale.dtype = DType::kU8;
    scale.shape = {1536, 12};
    scale.bytes.resize(1536 * 12);
  });
  ExpectOnlyError(report, kUpScale, "this is MXFP4, not NVFP4");
}

TEST(CheckScales, MissingBlockScales) {
  const CheckReport report = CheckSpoiled(
      QuantizedDrafter(), [](CheckpointEditor& editor) { editor.tensors.erase(kUpScale); });
  ExpectOnlyError(report, kUpScale, "is missing");
}

TEST(CheckScales, MisshapedBlockScales) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    editor.tensors.at(kUpScale).shape = {24, 1536};
  });
  ExpectOnlyError(report, kUpScale, "has shape [24, 1536] for packed weights [1536, 192]");
}

TEST(CheckScales, TensorScaleZeroNanOrNegative) {
  for (const float bad : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    for (const char* name : {"fc.weight_scale_2", "fc.input_scale"}) {
      const CheckReport report = CheckSpoiled(QuantizedDrafter(), [&](CheckpointEditor& editor) {
        editor.tensors.at(name).At<float>(0) = bad;
      });
      ExpectOnlyError(report, name, "expected a finite value above zero");
    }
  }
}

TEST(CheckScales, QkvMustShareTheirScales) {
  for (const char* suffix : {"weight_scale_2", "input_scale"}) {
    const std::string name = fmt::format("layers.0.self_attn.v_proj.{}", suffix);
    const CheckReport report = CheckSpoiled(QuantizedDrafter(), [&](CheckpointEditor& editor) {
      editor.tensors.at(name).At<float>(0) *= 1.5f;
    });
    ExpectOnlyError(report, name, "differs from that of layers.0.self_attn.k_proj");
  }
}

TEST(CheckScales, GateAndUpMustShareTheirScales) {
  const std::string name = "layers.0.mlp.up_proj.weight_scale_2";
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [&](CheckpointEditor& editor) {
    editor.tensors.at(name).At<float>(0) *= 0.5f;
  });
  ExpectOnlyError(report, name, "differs from that of layers.0.mlp.gate_proj");
}

TEST(CheckScales, MissingInputScaleThatVllmWouldNotNotice) {
  const CheckReport report = CheckSpoiled(
      QuantizedDrafter(), [](CheckpointEditor& editor) { editor.tensors.erase("fc.input_scale"); });
  ExpectOnlyError(report, "fc.input_scale", "vLLM would leave it uninitialised");
}

TEST(CheckScales, StrayScaleBesideABf16Weight) {
  const CheckReport report = CheckSpoiled(PlainDrafter(), [](CheckpointEditor& editor) {
    editor.tensors["fc.weight_scale_2"] = {DType::kF32, {}, std::vector<std::byte>(4)};
  });
  ExpectOnlyError(report, "fc.weight_scale_2", "belongs to a BF16 weight");
}

TEST(CheckVocabulary, WrongDtypes) {
  ExpectOnlyError(CheckSpoiled(PlainDrafter(),
                               [](CheckpointEditor& editor) {
                                 test::EditableTensor& d2t = editor.tensors.at("d2t");
                                 d2t.dtype = DType::kBF16;
                                 d2t.bytes.resize(4096 * 2);
                               }),
                  "d2t", "is BF16: vLLM converts it silently");
  ExpectOnlyError(
      CheckSpoiled(PlainDrafter(),
                   [](CheckpointEditor& editor) { editor.tensors.at("t2d").dtype = DType::kU8; }),
      "t2d", "is U8; expected BOOL");
}

TEST(CheckVocabulary, IdsOutsideTheVocabularyOrOutOfOrder) {
  for (const int64_t bad : {int64_t{8192}, int64_t{-4097}, std::numeric_limits<int64_t>::max()}) {
    const CheckReport report = CheckSpoiled(PlainDrafter(), [&](CheckpointEditor& editor) {
      editor.tensors.at("d2t").At<int64_t>(4095) = bad;
    });
    ExpectOnlyError(report, "d2t", "entry 4095");
  }
  // Ids instead of offsets grow twice as fast and leave the vocabulary.
  const CheckReport report = CheckSpoiled(PlainDrafter(), [](CheckpointEditor& editor) {
    test::EditableTensor& d2t = editor.tensors.at("d2t");
    d2t.At<int64_t>(100) = d2t.At<int64_t>(99) - 1;
  });
  ExpectOnlyError(report, "d2t", "ids must ascend");
}

TEST(CheckVocabulary, MaskThatContradicts) {
  const CheckReport report = CheckSpoiled(PlainDrafter(), [](CheckpointEditor& editor) {
    uint8_t& mark = editor.tensors.at("t2d").At<uint8_t>(17);
    mark = mark != 0 ? 0 : 1;
  });
  ExpectOnlyError(report, "t2d", "contradicts d2t for 1 ids, first 17");
}

TEST(CheckVocabulary, MissingMap) {
  const CheckReport report =
      CheckSpoiled(PlainDrafter(), [](CheckpointEditor& editor) { editor.tensors.erase("d2t"); });
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(report.findings, Contains(IsFinding(Severity::kError, "d2t", "is missing")));
}

constexpr char kConfigSource[] = "config.json quantization_config";

TEST(CheckQuantConfig, IgnoreListWithoutLmHead) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    editor.config["quantization_config"]["ignore"] = Json::array({"embed_tokens"});
  });
  ExpectOnlyError(report, kConfigSource, "does not ignore 'lm_head'");
}

TEST(CheckQuantConfig, IgnoreListThatCoversAQuantizedLinear) {
  for (const char* pattern : {"*qkv_proj", "model.layers", "model*", "fc"}) {
    const CheckReport report = CheckSpoiled(QuantizedDrafter(), [&](CheckpointEditor& editor) {
      editor.config["quantization_config"]["ignore"] = Json::array({"lm_head", pattern});
    });
    ExpectOnlyError(report, kConfigSource, "ignores '");
  }
}

// These names do not match what vLLM calls the layer, so they cover nothing (specs/nvfp4.md
// 0.2, 5.4).
TEST(CheckQuantConfig, IgnoreListOfNamesThatVllmDoesNotUse) {
  const auto plain_fc = [](CheckpointEditor& editor, const char* pattern) {
    const CheckpointEditor source(PlainDrafter());
    for (const char* suffix : {"weight_scale", "weight_scale_2", "input_scale"}) {
      editor.tensors.erase(fmt::format("fc.{}", suffix));
    }
    editor.tensors["fc.weight"] = source.tensors.at("fc.weight");
    editor.config["quantization_config"]["ignore"] = Json::array({"lm_head", pattern});
    editor.hf_quant_config = nullptr;
  };
  for (const char* pattern : {"fc", "*fc", "model.fc"}) {
    const CheckReport report = CheckSpoiled(
        QuantizedDrafter(), [&](CheckpointEditor& editor) { plain_fc(editor, pattern); });
    EXPECT_TRUE(report.ok()) << pattern << "\n" << FormatReport(report);
  }
  const CheckReport report = CheckSpoiled(
      QuantizedDrafter(), [&](CheckpointEditor& editor) { plain_fc(editor, "model.layers.8.fc"); });
  ExpectOnlyError(report, kConfigSource, "does not ignore 'fc' (in vLLM: model.fc)");
}

TEST(CheckQuantConfig, NoConfigAtAll) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    editor.config.erase("quantization_config");
    editor.hf_quant_config = nullptr;
  });
  ExpectOnlyError(report, "config.json", "has no quantization_config");
}

TEST(CheckQuantConfig, ConfigOfAnUnquantizedFile) {
  const CheckReport report = CheckSpoiled(PlainDrafter(), [](CheckpointEditor& editor) {
    editor.config["quantization_config"] =
        CheckpointEditor(QuantizedDrafter()).config["quantization_config"];
  });
  ExpectOnlyError(report, kConfigSource, "no linear is quantized");
}

TEST(CheckQuantConfig, TwoFilesThatDisagree) {
  const CheckReport report = CheckSpoiled(QuantizedDrafter(), [](CheckpointEditor& editor) {
    editor.hf_quant_config["quantization"]["quant_algo"] = "W4A16_NVFP4";
  });
  ExpectOnlyError(report, "hf_quant_config.json", "says 'W4A16_NVFP4', but");
}

TEST(CheckPair, ComparesTheEmbeddingAndTheShapes) {
  const fs::path verifier_path = test::SharedPath("models/tiny-gemma4/verifier");
  TALON_REQUIRE_PATH(verifier_path);
  const ModelFiles verifier = ModelFiles::Open(verifier_path);
  ThreadPool pool(2);
  EXPECT_THAT(CheckCheckpoint(PlainDrafter(), &verifier, pool).findings,
              Contains(IsFinding(Severity::kNote, "embed_tokens.weight", "equals the verifier's")));

  const test::TempDir folder;
  CheckpointEditor editor(PlainDrafter());
  editor.tensors.at("embed_tokens.weight").At<uint16_t>(3000000) ^= 1;
  editor.Write(folder.path() / "changed");
  EXPECT_THAT(CheckCheckpoint(folder.path() / "changed", &verifier, pool).findings,
              Contains(IsFinding(Severity::kNote, "embed_tokens.weight", "differs")));

  editor.config["eagle_aux_hidden_state_layer_ids"] = {2, 4, 9};
  editor.Write(folder.path() / "features");
  const CheckReport report = CheckCheckpoint(folder.path() / "features", &verifier, pool);
  ExpectOnlyError(report, "config.json", "holds 9, but the verifier has 8 layers");
}

TEST(CheckVerifier, FixturesAreSound) {
  ThreadPool pool(2);
  for (const char* name : {"gemma4-dense", "gemma3"}) {
    const CheckReport report = CheckCheckpoint(test::TestData(name), nullptr, pool);
    EXPECT_TRUE(report.ok()) << name << "\n" << FormatReport(report);
    EXPECT_NEAR(report.bits_per_parameter(), 16.0, 0.1);
  }
}

TEST(CheckVerifier, UnknownTextTensorIsAnErrorButVisionIsNot) {
  const CheckReport report =
      CheckSpoiled(test::TestData("gemma4-dense"), [](CheckpointEditor& editor) {
        const test::EditableTensor norm = editor.tensors.at("model.norm.weight");
        editor.tensors["model.layers.0.extra.weight"] = norm;
        editor.tensors["vision_tower.norm.weight"] = norm;
      });
  ExpectOnlyError(report, "model.layers.0.extra.weight", "is not part of the model");
}

TEST(Check, ReportsWhatCannotBeRead) {
  const test::TempDir folder;
  ThreadPool pool(2);
  const CheckReport missing = CheckCheckpoint(folder.path() / "nowhere", nullptr, pool);
  EXPECT_FALSE(missing.ok());

  CheckpointEditor(PlainDrafter()).Write(folder.path() / "cut");
  fs::resize_file(folder.path() / "cut/model.safetensors", 1000000);
  const CheckReport cut = CheckCheckpoint(folder.path() / "cut", nullptr, pool);
  ASSERT_EQ(cut.findings.size(), 1u);
  EXPECT_THAT(cut.findings[0].what, HasSubstr("model.safetensors"));
}

}  // namespace
}  // namespace talon
