// From `talon eval --record` to what `talon serve` says about it.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "talon/base/json.h"
#include "tests/support/local_http.h"
#include "tests/support/run_talon.h"

namespace talon {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// The bundled drafter in a folder that may be written to.
class AcceptanceGuardCommand : public testing::Test {
 protected:
  void SetUp() override {
    TALON_REQUIRE_PATH(test::DemoPath("verifier"));
    fs::copy(test::DemoPath("drafter"), drafter_, fs::copy_options::recursive);
  }

  void Record() const {
    const ProgramResult result =
        test::RunTalon({"eval", "--verifier", verifier_, "--drafter", drafter_, "--data",
                        test::DemoPath("prompts").string(), "--max-prompts", "1", "--max-tokens",
                        "64", "--num-speculative-tokens", "3", "--timed-prompts", "0", "--record"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, HasSubstr("talon_acceptance.json: acceptance recorded"));
  }

  // What the server logs until its guard has come to an end, and its last /health.
  struct Outcome {
    std::string log;
    std::string health;
  };
  Outcome Serve() const {
    const uint16_t port = test::FreePort();
    const std::string speculation =
        R"({"model": ")" + drafter_ + R"(", "num_speculative_tokens": 3})";
    test::TalonProcess server(
        {"serve", verifier_, "--speculative-config", speculation, "--port", std::to_string(port)});
    Outcome outcome;
    while (server.Running()) {
      outcome.health = test::Get(port, "/health");
      const bool ready = outcome.health.find("200 OK") != std::string::npos;
      if (ready && outcome.health.find("pending") == std::string::npos) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const std::string metrics = test::Get(port, "/metrics");
    server.Signal(SIGTERM);
    outcome.log = server.Wait().err + metrics;
    return outcome;
  }

  test::TempDir folder_;
  const std::string verifier_ = test::DemoPath("verifier").string();
  const std::string drafter_ = (folder_.path() / "drafter").string();
};

TEST_F(AcceptanceGuardCommand, IsOffWithoutABaseline) {
  const Outcome outcome = Serve();
  EXPECT_THAT(outcome.health, Not(HasSubstr("acceptance")));
  EXPECT_THAT(outcome.log, Not(HasSubstr("talon:acceptance")));
}

TEST_F(AcceptanceGuardCommand, FindsWhatWasRecordedAndWarnsOfLess) {
  Record();
  const fs::path path = fs::path(drafter_) / "talon_acceptance.json";
  Json baseline = ReadJsonFile(path);
  EXPECT_EQ(baseline["prompts"].size(), 7u) << "one of each category";
  const double length = baseline["acceptance_length"];
  EXPECT_GT(length, 1.0);
  const std::string measured = fmt::format("length {:.2f}, recorded {:.2f}", length, length);
  Outcome outcome = Serve();
  EXPECT_THAT(outcome.log, AllOf(HasSubstr("acceptance is as recorded: " + measured),
                                 HasSubstr("talon:acceptance_low{")));
  EXPECT_THAT(outcome.health, HasSubstr(R"("state":"as expected")"));

  // As if twice as many drafts had been accepted when it was recorded.
  for (Json& prompt : baseline["prompts"]) {
    prompt["accepted"] =
        std::min(2 * prompt["accepted"].get<int64_t>(), 3 * prompt["drafts"].get<int64_t>());
  }
  std::ofstream(path) << baseline.dump();
  outcome = Serve();
  EXPECT_THAT(outcome.log, AllOf(HasSubstr("WARNING"), HasSubstr("ACCEPTANCE IS LOW"),
                                 HasSubstr(fmt::format("length {:.2f}, recorded", length))));
  EXPECT_THAT(outcome.health, HasSubstr(R"("state":"low")"));

  baseline["drafter_identity"] = "another";
  std::ofstream(path) << baseline.dump();
  outcome = Serve();
  EXPECT_THAT(outcome.log, HasSubstr("was recorded with other checkpoints"));

  baseline["prompts"][0]["accepted"] = -1;
  std::ofstream(path) << baseline.dump();
  outcome = Serve();
  EXPECT_THAT(outcome.log, HasSubstr("prompts[0]: field accepted is -1, expected 0 to"));
}

}  // namespace
}  // namespace talon
