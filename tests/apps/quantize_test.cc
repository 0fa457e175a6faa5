// `talon quantize`, `check`, `inspect` and `bench make-checkpoint` as programs: outputs, exit
// codes, and the sentence for each kind of bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "talon/base/json.h"
#include "tests/support/run_talon.h"

namespace talon {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::RunTalon;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string Drafter() { return (fs::path(TALON_SOURCE_DIR) / "models/demo/drafter").string(); }
std::string Verifier() { return (fs::path(TALON_SOURCE_DIR) / "models/demo/verifier").string(); }
std::string Golden(const char* name) {
  return (test::TestData("modelopt-nvfp4-drafter") / name).string();
}

class Quantize : public ::testing::Test {
 protected:
  std::string output() const { return (folder_.path() / "out").string(); }

  // Runs `talon quantize` on the demo drafter into output().
  ProgramResult Run(std::vector<std::string> flags) const {
    std::vector<std::string> arguments = {"quantize", Drafter(), "--output", output()};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return RunTalon(arguments);
  }

  // It fails with this sentence, one line, and leaves nothing behind.
  void ExpectRefused(const ProgramResult& result, int exit_code,
                     const std::string& sentence) const {
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr("talon: "));
    EXPECT_THAT(result.err, HasSubstr(sentence));
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("out")));
    }
  }

  std::string WriteFile(const char* name, const std::string& text) const {
    std::ofstream(folder_.path() / name) << text;
    return (folder_.path() / name).string();
  }

  test::TempDir folder_;
};

TEST_F(Quantize, WritesTheGoldenCheckpointAndChecksIt) {
  const ProgramResult result = Run({"--amax", Golden("amax.json"), "--embedding", "keep"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("BF16 -> NVFP4"));
  EXPECT_THAT(result.out, HasSubstr("sound\n"));
  EXPECT_EQ(ReadTextFile(folder_.path() / "out/model.safetensors"),
            ReadTextFile(Golden("model.safetensors")));
  const Json record = ReadJsonFile(folder_.path() / "out/talon_provenance.json");
  EXPECT_EQ(record["command"][1], "quantize");
}

TEST_F(Quantize, SharesTheEmbeddingOfItsVerifierAndTakesItsTokenizer) {
  const ProgramResult result = Run({"--recipe", "w4a16", "--verifier", Verifier(), "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json json = ParseJson(result.out, "stdout");
  EXPECT_EQ(json["check"]["ok"], true);
  EXPECT_THAT(json["embedding"].get<std::string>(), HasSubstr("left out"));
  EXPECT_TRUE(fs::exists(folder_.path() / "out/tokenizer.json"));
}

// ModelOpt calibrated a BF16 drafter on torch's features of these conversations.
TEST_F(Quantize, CalibrationReachesModelOptsMaxima) {
  const fs::path verifier = test::SharedPath("models/tiny-gemma4/verifier");
  const fs::path data = test::SharedPath("data/calibration/chat_256.jsonl");
  TALON_REQUIRE_PATH(verifier);
  const ProgramResult result =
      Run({"--verifier", verifier.string(), "--calibration", data.string(), "--num-samples", "32",
           "--seq-length", "512", "--self-fed-steps", "0"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json record = ReadJsonFile(folder_.path() / "out/talon_provenance.json");
  EXPECT_EQ(record["calibration"]["tokens"], 14770);
  const Json golden = ReadJsonFile(Golden("amax.json"))["calibrated"];
  constexpr float kBf16Step = 0x1p-7f;
  for (const auto& [linear, scales] : record["linears"].items()) {
    const std::string text = golden[linear + ".input_quantizer"]["decimal"];
    const float expected = std::stof(text);
    EXPECT_NEAR(scales["input_amax"].get<float>(), expected, kBf16Step * expected) << linear;
  }
  EXPECT_EQ(record["linears"].size(), 8u);
}

TEST_F(Quantize, CalibratesOnConversations) {
  const std::string data = WriteFile(
      "chat.jsonl",
      "{\"messages\": [{\"role\": \"user\", \"content\": \"Name a river.\"}, "
      "{\"role\": \"assistant\", \"content\": \"The Danube flows to the Black Sea.\"}]}\n");
  const ProgramResult result =
      Run({"--verifier", Verifier(), "--calibration", data, "--self-fed-steps", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json calibration = ParseJson(result.out, "stdout")["calibration"];
  EXPECT_EQ(calibration["conversations"], 1);
  EXPECT_EQ(calibration["ranges"]["fc"].size(), 1u) << "fc is not fed by the drafter itself";
  EXPECT_EQ(calibration["ranges"]["layers.0.mlp.up_proj"].size(), 2u);
}

TEST_F(Quantize, DryRunPrintsTheLedgerAndWritesNothing) {
  const ProgramResult result = Run({"--dry-run", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(ParseJson(result.out, "stdout")["ledger"]["total"]["parameters"], 7583232);
  EXPECT_FALSE(fs::exists(output()));
}

TEST_F(Quantize, RefusesFlagsThatDoNotFit) {
  ExpectRefused(Run({}), 2, "needs their ranges: give --calibration FILE.jsonl");
  ExpectRefused(Run({"--recipe", "w4a8"}), 2, "--recipe w4a8: unknown; give max or w4a16");
  ExpectRefused(Run({"--recipe", "w4a16", "--amax", Golden("amax.json")}), 2,
                "--amax: recipe w4a16 leaves activations alone");
  ExpectRefused(Run({"--amax", Golden("amax.json"), "--calibration", "x.jsonl"}), 2,
                "exclude each other");
  ExpectRefused(Run({"--calibration", "x.jsonl"}), 2, "name it with --verifier");
  ExpectRefused(Run({"--recipe", "w4a16", "--embedding", "drop"}), 2, "--embedding drop: unknown");
  ExpectRefused(Run({"--recipe", "w4a16", "--lm-head", "fp8"}), 2, "--lm-head fp8: unknown");
  ExpectRefused(Run({"--recipe", "w4a16", "--scale-division", "fast"}), 2,
                "--scale-division fast: unknown");
  ExpectRefused(RunTalon({"quantize", Drafter(), "--recipe", "w4a16"}), 2, "--output is missing");
}

TEST_F(Quantize, RefusesBadCalibrationData) {
  const auto run = [this](const std::string& text) {
    return Run({"--verifier", Verifier(), "--calibration", WriteFile("chat.jsonl", text)});
  };
  ExpectRefused(run(""), 1, "chat.jsonl");
  ExpectRefused(run("{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}\n{\"mess"), 1,
                "chat.jsonl:2");
  ExpectRefused(run("{\"prompt\": \"Hi\"}\n"), 1, "chat.jsonl:1");
  ExpectRefused(Run({"--verifier", Verifier(), "--calibration", "/nowhere.jsonl"}), 1,
                "/nowhere.jsonl");
}

TEST_F(Quantize, RefusesAnAmaxFileThatLeavesALinearOut) {
  const std::string file = WriteFile("amax.json", "{\"fc\": 31.875}");
  ExpectRefused(Run({"--amax", file}), 2, "the calibration never reached it");
}

TEST_F(Quantize, RefusesAnOutputThatExistsBeforeAnyWork) {
  fs::create_directory(output());
  const ProgramResult result = Run({"--recipe", "w4a16"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("exists already; remove it or choose another output folder"));
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_TRUE(fs::is_empty(output()));
}

TEST_F(Quantize, RefusesModelsThatAreNotThere) {
  const ProgramResult result =
      RunTalon({"quantize", "org/no-such-model", "--recipe", "w4a16", "--output", output()});
  ExpectRefused(result, 1, "hf download org/no-such-model");
}

TEST_F(Quantize, RefusesAPairThatDoesNotBelongTogether) {
  ExpectRefused(Run({"--recipe", "w4a16", "--verifier", test::TestData("gemma4-dense").string()}),
                2, "drafter and verifier do not belong together");
}

TEST_F(Quantize, RefusesTruncatedWeights) {
  const fs::path copy = folder_.path() / "cut";
  fs::create_directory(copy);
  fs::copy_file(fs::path(Drafter()) / "config.json", copy / "config.json");
  fs::copy_file(fs::path(Drafter()) / "model.safetensors", copy / "model.safetensors");
  fs::permissions(copy / "model.safetensors", fs::perms::owner_all);
  fs::resize_file(copy / "model.safetensors", 10'000'000);
  ExpectRefused(RunTalon({"quantize", copy.string(), "--recipe", "w4a16", "--output", output()}), 1,
                "model.safetensors");
}

// A file size limit stands in for a full disk: write() fails in the middle.
TEST_F(Quantize, AFullDiskLeavesNothingBehind) {
  rlimit old_limit = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit), 0);
  rlimit limit = old_limit;
  limit.rlim_cur = 5'000'000;
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const ProgramResult result = Run({"--recipe", "w4a16"});
  ::setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  ExpectRefused(result, 1, "model.safetensors: writing failed after");
}

TEST_F(Quantize, AVerifierToo) {
  const ProgramResult result = RunTalon({"quantize", test::TestData("gemma4-dense").string(),
                                         "--recipe", "w4a16", "--output", output()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const ProgramResult inspected = RunTalon({"inspect", output(), "--json"});
  const Json json = ParseJson(inspected.out, "stdout");
  EXPECT_EQ(json["architecture"]["kind"], "Gemma 4");
  EXPECT_EQ(json["linears"]["model.layers.0.mlp.up_proj"]["format"], "NVFP4");
}

TEST_F(Quantize, BenchMakesCheckpointsToMeasureOn) {
  const ProgramResult made = RunTalon({"bench", "make-checkpoint", output(), "--shape", "tiny"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(RunTalon({"check", output()}).exit_code, 0);
}

TEST(Check, ExitCodeTellsASoundCheckpointFromAFaultyOne) {
  const ProgramResult sound = RunTalon({"check", Golden("")});
  EXPECT_EQ(sound.exit_code, 0);
  EXPECT_THAT(sound.out, HasSubstr("bits per parameter: sound"));
  const ProgramResult faulty = RunTalon({"check", Golden("variant-w4a16"), "--json"});
  EXPECT_EQ(faulty.exit_code, 1);
  EXPECT_EQ(ParseJson(faulty.out, "stdout")["ok"], false);
}

TEST(Inspect, PrintsArchitectureLedgerAndQuantization) {
  const ProgramResult result = RunTalon({"inspect", Golden("")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("EAGLE-3 drafter"));
  EXPECT_THAT(result.out, HasSubstr("draft_vocab_size"));
  EXPECT_THAT(result.out, HasSubstr("31.875"));
  EXPECT_THAT(result.out, HasSubstr("hf_quant_config.json: NVFP4, activations quantized"));
}

}  // namespace
}  // namespace talon
