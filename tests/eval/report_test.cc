// The outputs show the numbers of the vLLM fixtures: acceptance_*.json for lengths, scipy for
// intervals (tests/eval/bootstrap_test.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "talon/base/error.h"
#include "talon/eval/report_files.h"
#include "talon/eval/report_table.h"
#include "tests/eval/statistics_fixture.h"

namespace talon {
namespace {

using testing::HasSubstr;

class ReportTest : public testing::Test {
 protected:
  ReportTest() {
    report_.verifier = "tiny/verifier";
    report_.verifier_numerics = "BF16 (57 linears)";
    report_.dtype = "float32";
    report_.turns = "first";
    report_.data = {"acceptance/"};
    report_.max_tokens = 128;
    report_.skipped = {{"x/1", "rag", 2000}};
    report_.version = "0.1.0";
    AddRun("drafter BF16", "d", "BF16 (9 linears)", "traces_fp32.json");
    AddRun("drafter-nvfp4 NVFP4 W4A4", "d,4", "NVFP4 W4A4 (8 linears), BF16 (1 linear)",
           "traces_nvfp4_w4a4_fp32.json");
    report_.plain_speeds["qa"] = {10, 2.0};
    report_.runs[0].speeds["qa"] = {10, 0.8};
    summaries_ = SummarizeAll(report_, {});
  }

  void AddRun(const std::string& label, const std::string& path, const std::string& numerics,
              const std::string& traces) {
    DrafterRun run;
    run.label = label;
    run.path = path;
    run.numerics = numerics;
    run.k = 5;
    run.rounds = test::FixtureRounds(traces);
    run.every_position = run.rounds;
    report_.runs.push_back(std::move(run));
  }

  EvalReport report_;
  Summaries summaries_;
};

TEST_F(ReportTest, SummariesFollowTheFixture) {
  const Json expected = ReadJsonFile(test::TestData("vllm-eagle3/acceptance_fp32.json"));
  ASSERT_EQ(summaries_[0].size(), 8u);
  for (const CategorySummary& row : summaries_[0]) {
    const Json& values =
        row.category == "all" ? expected.at("all") : expected.at("categories").at(row.category);
    EXPECT_EQ(row.rounds.drafts, values.at("drafts").get<int64_t>());
    EXPECT_NEAR(row.length.estimate, values.at("acceptance_length").get<double>(), 0.5001e-4);
    EXPECT_FALSE(row.difference.has_value());
  }
  EXPECT_EQ(summaries_[0][0].category, "HumanEval");  // in data order
  const CategorySummary& total = summaries_[1].back();
  EXPECT_EQ(total.category, "all");
  EXPECT_EQ(total.prompts, 140);
  EXPECT_NEAR(total.difference->estimate, -0.024803171526257217, 1e-12);
}

TEST_F(ReportTest, TablesShowLengthsDifferencesAndSkippedPrompts) {
  const std::string text = ReportTables(report_, summaries_);
  EXPECT_THAT(text, HasSubstr("skipped   x/1 (rag): 2000 prompt tokens do not fit"));
  EXPECT_THAT(text, HasSubstr("drafter BF16: BF16 (9 linears), k = 5"));
  EXPECT_THAT(text, testing::ContainsRegex(
                        "HumanEval +20 +2\\.926  \\[2\\.5[0-9]+, 3\\.2[0-9]+\\] +3\\.090  "
                        "0\\.672 0\\.468 0\\.361 0\\.259 0\\.165 "));
  EXPECT_THAT(text, testing::ContainsRegex("qa +20 .* 12\\.5 +5\\.0\n"));
  EXPECT_THAT(text, HasSubstr("drafter-nvfp4 NVFP4 W4A4 minus drafter BF16, k = 5"));
  EXPECT_THAT(text, testing::ContainsRegex("all +-0\\.025 +\\[-0\\.0[34]., -0\\.0..\\] +0\\.02.  "
                                           "\\*"));
}

TEST_F(ReportTest, JsonHoldsEverything) {
  const Json json = ReportJson(report_, summaries_, /*with_rounds=*/true);
  const Json& run = json.at("runs").at(1);
  EXPECT_EQ(run.at("compared_with"), "drafter BF16");
  const Json& total = run.at("categories").back();
  EXPECT_EQ(total.at("category"), "all");
  EXPECT_EQ(total.at("rounds").at("acceptance_by_position").size(), 5u);
  EXPECT_NEAR(total.at("difference").at("estimate").get<double>(), -0.0248, 1e-4);
  EXPECT_NEAR(total.at("difference").at("smallest_detectable").get<double>(),
              2.8016 * total.at("difference").at("standard_error").get<double>(), 1e-6);
  EXPECT_TRUE(total.at("decode_with_drafts").is_null());
  EXPECT_EQ(json.at("runs").at(0).at("categories").at(2).at("decode_with_drafts").at("tokens"), 10);
  // The rounds are those that came in.
  const auto traces = test::ReadTraceFixture(test::TestData("vllm-eagle3/traces_fp32.json"));
  const Json& prompt = json.at("runs").at(0).at("prompts").at(3);
  EXPECT_EQ(prompt.at("id"), traces[3].id);
  ASSERT_EQ(prompt.at("rounds").size(), traces[3].accepted_per_round.size());
  for (size_t r = 0; r < traces[3].accepted_per_round.size(); ++r) {
    EXPECT_EQ(prompt.at("rounds").at(r).at("accepted"), traces[3].accepted_per_round[r]);
    EXPECT_EQ(prompt.at("rounds").at(r).at("drafts"), traces[3].drafts_per_round[r]);
  }
  EXPECT_FALSE(ReportJson(report_, summaries_, false).at("runs").at(0).contains("prompts"));
}

TEST_F(ReportTest, CsvHasOneLinePerRunAndCategory) {
  std::istringstream lines(ReportCsv(report_, summaries_));
  std::string line;
  std::getline(lines, line);
  EXPECT_THAT(line, testing::StartsWith("drafter,path,numerics,k,category,prompts,drafts,"));
  EXPECT_THAT(line, testing::EndsWith(",position_4,position_5"));
  int count = 0;
  std::string last;
  while (std::getline(lines, line)) {
    ++count;
    last = line;
  }
  EXPECT_EQ(count, 16);
  EXPECT_THAT(last,
              testing::StartsWith("drafter-nvfp4 NVFP4 W4A4,\"d,4\",\"NVFP4 W4A4 (8 linears), "
                                  "BF16 (1 linear)\",5,all,140,"));
}

TEST_F(ReportTest, CardSectionNamesBaseAndDifference) {
  const std::string card = CardSection(report_, summaries_, "d,4");
  EXPECT_THAT(card, HasSubstr("verifier `tiny/verifier`"));
  EXPECT_THAT(card, HasSubstr("minus `d` (BF16 (9 linears))"));
  EXPECT_THAT(card, testing::ContainsRegex("\\| all \\| 140 \\| 1\\.8[0-9]+ \\|"));
  EXPECT_THAT(card, testing::Not(HasSubstr("**BF16 (9 linears), k = 5**")));
}

}  // namespace
}  // namespace talon
