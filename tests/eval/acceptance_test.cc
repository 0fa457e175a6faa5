// Acceptance statistics against hand counts and against the aggregates that vLLM's own counters
// gave for the same traces (tests/data/vllm-eagle3/acceptance_*.json).
#include "talon/eval/acceptance.h"

#include <gtest/gtest.h>

#include "talon/base/json.h"
#include "tests/eval/statistics_fixture.h"

namespace talon {
namespace {

TEST(AcceptanceCounts, CountsRoundsByHand) {
  const std::vector<Round> rounds = {{{7, 8, 9}, 0}, {{7, 8, 9}, 3}, {{}, 0}, {{7, 8}, 1}};
  AcceptanceCounts counts;
  counts.Add(rounds);
  EXPECT_EQ(counts.drafts, 3);  // the round without drafts is none
  EXPECT_EQ(counts.draft_tokens, 8);
  EXPECT_EQ(counts.accepted, 4);
  EXPECT_EQ(counts.accepted_at, (std::vector<int64_t>{2, 1, 1}));
  EXPECT_DOUBLE_EQ(counts.Length(), 1 + 4.0 / 3.0);
  EXPECT_DOUBLE_EQ(counts.PositionRate(0), 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(counts.PositionRate(7), 0.0);

  AcceptanceCounts more;
  more.Add(Round{{1, 2, 3, 4, 5}, 5});
  counts.Add(more);
  EXPECT_EQ(counts.drafts, 4);
  EXPECT_EQ(counts.accepted_at, (std::vector<int64_t>{3, 2, 2, 1, 1}));
}

TEST(AcceptanceCounts, WithoutDraftsLengthIsOne) {
  EXPECT_DOUBLE_EQ(AcceptanceCounts().Length(), 1.0);
  EXPECT_DOUBLE_EQ(MeanOfRequestMeans({}).length, 1.0);
}

TEST(AcceptanceCounts, LengthIsOnePlusTheSumOfPositionRates) {
  const AcceptanceCounts counts = CountRounds(test::FixtureRounds("traces_fp32.json"));
  double sum = 1;
  for (size_t i = 0; i < counts.accepted_at.size(); ++i) sum += counts.PositionRate(i);
  EXPECT_NEAR(counts.Length(), sum, 1e-12);
}

// The mean over requests, recomputed with numpy in float64 from the same JSON file:
// mean of 1 + sum(accepted) / rounds over the traces that have rounds.
TEST(MeanOfRequestMeans, EqualsNumpy) {
  const RequestMean all = MeanOfRequestMeans(test::FixtureRounds("traces_fp32.json"));
  EXPECT_EQ(all.requests, 140);
  EXPECT_NEAR(all.length, 2.1171644458995487, 1e-12);
  const RequestMean qa = MeanOfRequestMeans(test::FixtureRounds("traces_fp32.json", "qa"));
  EXPECT_EQ(qa.requests, 20);
  EXPECT_NEAR(qa.length, 2.346181485548116, 1e-12);
}

class VllmAggregates : public testing::TestWithParam<std::string> {};

void ExpectCounts(const std::vector<PromptRounds>& prompts, const Json& expected) {
  const AcceptanceCounts counts = CountRounds(prompts);
  EXPECT_EQ(counts.drafts, expected.at("drafts").get<int64_t>());
  EXPECT_EQ(counts.accepted, expected.at("accepted").get<int64_t>());
  // The file rounds to four places.
  EXPECT_NEAR(counts.Length(), expected.at("acceptance_length").get<double>(), 0.5001e-4);
  const auto rates = expected.at("per_pos").get<std::vector<double>>();
  for (size_t i = 0; i < rates.size(); ++i) {
    EXPECT_NEAR(counts.PositionRate(i), rates[i], 0.5001e-4) << "position " << i;
  }
}

TEST_P(VllmAggregates, FollowFromTheTraces) {
  const Json expected = ReadJsonFile(test::TestData("vllm-eagle3/acceptance_" + GetParam()));
  const std::string traces = "traces_" + GetParam();
  for (const auto& [category, values] : expected.at("categories").items()) {
    SCOPED_TRACE(category);
    const auto prompts = test::FixtureRounds(traces, category);
    EXPECT_EQ(prompts.size(), values.at("prompts").get<size_t>());
    ExpectCounts(prompts, values);
  }
  ExpectCounts(test::FixtureRounds(traces), expected.at("all"));
}

INSTANTIATE_TEST_SUITE_P(Drafters, VllmAggregates,
                         testing::Values("fp32.json", "nvfp4_w4a16_fp32.json",
                                         "nvfp4_w4a4_fp32.json"));

}  // namespace
}  // namespace talon
