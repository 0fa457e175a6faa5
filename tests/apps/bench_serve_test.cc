// `talon bench serve` against `talon serve`: every answer is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "talon/base/json.h"
#include "tests/support/local_http.h"
#include "tests/support/run_talon.h"

namespace talon {
namespace {

using test::DemoPath;
using test::ProgramResult;
using test::RunTalon;
using testing::HasSubstr;

TEST(BenchServe, CountsWhatTheServerAnswered) {
  TALON_REQUIRE_PATH(DemoPath("verifier"));
  const uint16_t port = test::FreePort();
  const std::string port_text = std::to_string(port);
  test::TalonProcess server(
      {"serve", DemoPath("drafter").string(), "--port", port_text, "--api-key", "secret"});
  test::AwaitReady(server, port);
  const test::TempDir folder;
  const std::string report = (folder.path() / "result.json").string();
  const std::vector<std::string> common = {"bench",         "serve",  "--port",      port_text,
                                           "--api-key",     "secret", "--json",      report,
                                           "--num-prompts", "6",      "--ignore-eos"};
  std::vector<std::string> random = common;
  random.insert(random.end(), {"--random-input-len", "20", "--random-output-len", "9",
                               "--max-concurrency", "2", "--save-detailed"});
  const ProgramResult result = RunTalon(random);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("Successful requests:                     6"));
  const Json json = ReadJsonFile(report);
  EXPECT_EQ(json["completed"], 6);
  EXPECT_EQ(json["total_input_tokens"], 6 * 20);
  EXPECT_EQ(json["total_output_tokens"], 6 * 9);
  EXPECT_EQ(json["output_lens"], Json({9, 9, 9, 9, 9, 9}));
  EXPECT_EQ(json["max_concurrency"], 2);
  EXPECT_LE(json["max_concurrent_requests"], 6);
  EXPECT_GT(json["spec_decode_num_drafts"], 0);

  std::vector<std::string> chat = common;
  chat.insert(chat.end(), {"--dataset-name", "custom", "--dataset-path",
                           DemoPath("prompts").string(), "--output-len", "5", "--endpoint",
                           "/v1/chat/completions", "--request-rate", "1000"});
  ASSERT_TRUE(std::filesystem::remove(report));
  EXPECT_EQ(RunTalon(chat).exit_code, 0);
  EXPECT_EQ(ReadJsonFile(report)["total_output_tokens"], 6 * 5);

  std::vector<std::string> wrong = common;
  wrong[5] = "other";
  const ProgramResult refused = RunTalon(wrong);
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr("401"));
}

}  // namespace
}  // namespace talon
