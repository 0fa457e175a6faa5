// `talon verify-lossless` from the outside, on the bundled pair.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "talon/base/json.h"
#include "tests/support/run_talon.h"

namespace talon {
namespace {

using test::DemoPath;
using test::ProgramResult;
using test::RunTalon;
using testing::HasSubstr;

TEST(VerifyLossless, ComparesTheBundledPairUnderEverySetting) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const test::TempDir folder;
  const std::string report = (folder.path() / "report.json").string();
  const Json config = {{"model", DemoPath("drafter").string()}, {"num_speculative_tokens", 3}};
  const ProgramResult result =
      RunTalon({"verify-lossless", DemoPath("verifier").string(), "--speculative-config",
                config.dump(), "--requests", "2", "--max-tokens", "12", "--requests-between", "5",
                "--threads", "1", "--max-model-len", "512", "--json", report});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("8 drafts, 8 at a time"));
  EXPECT_THAT(result.out, HasSubstr("drafts accepted"));
  const Json json = ReadJsonFile(report);
  EXPECT_EQ(json["divergences"], 0);
  int64_t requests = 0;
  int64_t tokens = 0;
  for (const Json& setting : json["settings"]) {
    EXPECT_TRUE(setting["divergences"].empty());
    requests += setting["requests"].get<int64_t>();
    tokens += setting["tokens"].get<int64_t>();
  }
  EXPECT_EQ(json["requests"], requests);
  EXPECT_EQ(json["tokens"], tokens);
  EXPECT_EQ(tokens, 12 * requests);
}

TEST(VerifyLossless, WrongFlagsAreNamed) {
  const ProgramResult unknown = RunTalon({"verify-lossless", "x", "--max-num-seq", "3"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("the nearest one is --max-num-seqs"));
  const ProgramResult none = RunTalon({"verify-lossless", "x", "--requests", "0"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("--requests"));
}

}  // namespace
}  // namespace talon
