// Which numbers of drafts are chosen, for acceptance and costs whose best plan is known.
#include "talon/engine/draft_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace talon::test {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr int64_t kMost = 4;

// A verifier pass of 10 ms and `row_ms` a row; a drafter pass of 1 ms, each further draft 0.5 ms.
StepCosts LinearCosts(double row_ms) {
  StepCosts costs;
  costs.verify = CostCurve({{1, 10.0 + row_ms}, {101, 10.0 + 101 * row_ms}});
  costs.draft_pass = CostCurve({{1, 1.0}});
  costs.draft_step = CostCurve({{1, 0.5}});
  return costs;
}

DraftPolicy Automatic(StepCosts costs) {
  DraftPolicyOptions options;
  options.max_drafts = kMost;
  options.automatic = true;
  options.costs = std::move(costs);
  return DraftPolicy(std::move(options));
}

std::vector<DraftCandidate> Candidates(int64_t count) {
  std::vector<DraftCandidate> candidates;
  for (int64_t i = 0; i < count; ++i) candidates.push_back({i, kMost, 1});
  return candidates;
}

// Plans `rounds` rounds of one sequence, of whose drafts all or none are right; the drafts of each.
// Without drafts the rows that the drafter has to read pile up.
std::vector<int64_t> RunRounds(DraftPolicy& policy, int rounds, bool all_right) {
  std::vector<int64_t> drafts;
  int64_t pending = 1;
  for (int round = 0; round < rounds; ++round) {
    const DraftCandidate candidate{0, kMost, pending};
    const int64_t count = policy.Plan({&candidate, 1}, 0)[0];
    policy.CountRound(0, count, all_right ? count : 0);
    pending = count > 0 ? 1 : pending + 1;
    drafts.push_back(count);
  }
  return drafts;
}

TEST(CostCurve, GoesStraightBetweenPointsAndOn) {
  const CostCurve curve({{1, 2.0}, {3, 4.0}, {5, 10.0}});
  EXPECT_EQ(curve.At(0), 0.0);
  EXPECT_EQ(curve.At(1), 2.0);
  EXPECT_EQ(curve.At(2), 3.0);
  EXPECT_EQ(curve.At(3), 4.0);
  EXPECT_EQ(curve.At(4), 7.0);
  EXPECT_EQ(curve.At(7), 16.0);
  EXPECT_EQ(CostCurve({{1, 2.0}, {2, 1.0}}).At(2), 2.0) << "more rows are never cheaper";
  EXPECT_EQ(CostCurve().At(3), 0.0);
}

TEST(DraftPolicy, AFixedNumberHasRoomAsItsOnlyLimit) {
  DraftPolicyOptions options;
  options.max_drafts = 3;
  DraftPolicy policy(options);
  const std::vector<DraftCandidate> candidates = {{0, 8, 1}, {1, 2, 1}, {2, 0, 1}};
  EXPECT_THAT(policy.Plan(candidates, 0), ElementsAre(3, 2, 0));
}

TEST(DraftPolicy, ATableGoesByBatchSize) {
  DraftPolicyOptions options;
  options.max_drafts = kMost;
  options.by_batch_size = {4, 2, 2, 0};
  DraftPolicy policy(options);
  EXPECT_THAT(policy.Plan(Candidates(1), 0), ElementsAre(4));
  EXPECT_THAT(policy.Plan(Candidates(2), 0), ElementsAre(2, 2));
  EXPECT_THAT(policy.Plan(Candidates(4), 0), Each(0));
  EXPECT_THAT(policy.Plan(Candidates(9), 0), Each(0));
}

TEST(DraftPolicy, ChancesFollowTheRoundsAndTheGuessBeforeThem) {
  DraftPolicy policy = Automatic(LinearCosts(1.0));
  EXPECT_DOUBLE_EQ(policy.Reach(7, 0), 1.0);
  EXPECT_DOUBLE_EQ(policy.Reach(7, 1), 0.6);
  EXPECT_DOUBLE_EQ(policy.Reach(7, 3), 0.6 * 0.6 * 0.6);
  policy.CountRound(7, 2, 1);  // position 1 right, position 2 wrong
  // Four rounds at the guess and one seen: over all sequences, and then for this one.
  const double first_of_all = (4 * 0.6 + 1) / 5;
  const double second_of_all = (4 * first_of_all + 0) / 5;
  EXPECT_DOUBLE_EQ(policy.Reach(8, 1), first_of_all) << "another sequence";
  EXPECT_DOUBLE_EQ(policy.Reach(8, 2), first_of_all * second_of_all);
  const double first = (4 * first_of_all + 1) / 5;
  const double second = (4 * second_of_all + 0) / 5;
  EXPECT_DOUBLE_EQ(policy.Reach(7, 2), first * second);
  policy.CountRound(7, 1, 0);  // the earlier round counts 0.98 now
  EXPECT_DOUBLE_EQ(policy.Reach(8, 1), (4 * 0.6 + 0.98) / (4 + 1.98));
}

TEST(DraftPolicy, ARateIsExpectedTokensByTime) {
  const DraftPolicy policy = Automatic(LinearCosts(1.0));
  const std::vector<DraftCandidate> candidates = Candidates(2);
  EXPECT_DOUBLE_EQ(policy.Rate(candidates, std::vector<int64_t>{0, 0}, 0), 2.0 / 12.0);
  EXPECT_DOUBLE_EQ(policy.Rate(candidates, std::vector<int64_t>{2, 0}, 3),
                   (2.0 + 0.6 + 0.36) / ((10.0 + 7.0) + 1.0 + 0.5));
}

TEST(DraftPolicy, FreeRowsGetAllDraftsAndDearOnesNone) {
  DraftPolicy free_rows = Automatic(LinearCosts(0.0));
  EXPECT_THAT(free_rows.Plan(Candidates(2), 0), ElementsAre(4, 4));
  DraftPolicy dear_rows = Automatic(LinearCosts(20.0));
  EXPECT_THAT(dear_rows.Plan(Candidates(2), 0), ElementsAre(1, 1)) << "to learn from";
  EXPECT_THAT(dear_rows.Plan(Candidates(2), 0), ElementsAre(0, 0));
}

// Every plan there is, against the one that is chosen.
TEST(DraftPolicy, NoPlanPromisesMoreThanTheChosenOne) {
  for (const double row_ms : {0.2, 1.0, 2.0, 4.0}) {
    DraftPolicy policy = Automatic(LinearCosts(row_ms));
    for (int round = 0; round < 40; ++round) {
      policy.CountRound(0, kMost, kMost);
      policy.CountRound(1, kMost, round % 3);
      policy.CountRound(2, kMost, 0);
    }
    const std::vector<DraftCandidate> candidates = Candidates(3);
    double best = 0.0;
    for (int64_t code = 0; code < 125; ++code) {
      const std::vector<int64_t> plan = {code % 5, code / 5 % 5, code / 25};
      best = std::max(best, policy.Rate(candidates, plan, 0));
    }
    policy.Plan(candidates, 0);  // the first plan has a draft for everyone
    const std::vector<int64_t> plan = policy.Plan(candidates, 0);
    EXPECT_DOUBLE_EQ(policy.Rate(candidates, plan, 0), best) << row_ms;
    EXPECT_GE(plan[0], plan[1]);
    EXPECT_GE(plan[1], plan[2]);
  }
}

TEST(DraftPolicy, ADrafterThatIsAlwaysWrongIsLeftAloneButForProbes) {
  DraftPolicy policy = Automatic(LinearCosts(1.0));
  const std::vector<int64_t> drafts = RunRounds(policy, 1000, false);
  EXPECT_LE(std::accumulate(drafts.begin(), drafts.end(), int64_t{0}), 40);
  EXPECT_EQ(std::accumulate(drafts.end() - 2 * DraftPolicy::kProbeRounds, drafts.end(), int64_t{0}),
            2)
      << "one probe in kProbeRounds rounds";
}

TEST(DraftPolicy, ADearDrafterIsNotKeptUpWithTheText) {
  StepCosts costs = LinearCosts(1.0);
  EXPECT_TRUE(Automatic(costs).WorthKeepingUp(64, 1)) << "1 ms beside 64 * 11 ms";
  costs.draft_pass = CostCurve({{1, 1.0}, {64, 7.04}});
  EXPECT_TRUE(Automatic(costs).WorthKeepingUp(64, 1)) << "1 %";
  EXPECT_FALSE(Automatic(costs).WorthKeepingUp(64, 2)) << "of 64 * 12 / 2 ms";
  costs.draft_pass = CostCurve({{1, 1.0}, {64, 7.05}});
  DraftPolicy policy = Automatic(costs);
  EXPECT_FALSE(policy.WorthKeepingUp(64, 1));
  int64_t drafts = 0;
  for (int64_t round = 0; round < 1000; ++round) {
    const DraftCandidate candidate{0, kMost, round < 64 ? 1 : 64};
    const int64_t count = policy.Plan({&candidate, 1}, 0)[0];
    policy.CountRound(0, count, 0);
    drafts += round < 64 ? 0 : count;
  }
  EXPECT_EQ(drafts, 0) << "no probes";
  EXPECT_TRUE(DraftPolicy(DraftPolicyOptions()).WorthKeepingUp(1000, 1)) << "a table decides";
}

TEST(DraftPolicy, ProbesFindADrafterThatHasBecomeRight) {
  DraftPolicy policy = Automatic(LinearCosts(1.0));
  EXPECT_EQ(RunRounds(policy, 200, false).back(), 0);
  EXPECT_EQ(RunRounds(policy, 20 * DraftPolicy::kProbeRounds, true).back(), kMost);
}

TEST(DraftPolicy, SmallGainsDoNotChangeAPlan) {
  DraftPolicy policy = Automatic(LinearCosts(1.0));
  const std::vector<DraftCandidate> candidates = Candidates(1);
  std::vector<int64_t> last = policy.Plan(candidates, 0);
  int changes = 0;
  int better = 0;
  for (int round = 0; round < 300; ++round) {
    policy.CountRound(0, 4, round % 5);  // chances that go up and down a little
    double best = 0.0;
    for (int64_t count = 0; count <= kMost; ++count) {
      best = std::max(best, policy.Rate(candidates, std::vector<int64_t>{count}, 0));
    }
    const double stay = policy.Rate(candidates, last, 0);
    better += best > stay ? 1 : 0;
    const std::vector<int64_t> plan = policy.Plan(candidates, 0);
    if (plan != last) {
      ++changes;
      EXPECT_GT(policy.Rate(candidates, plan, 0), (1.0 + DraftPolicy::kHysteresis) * stay);
    }
    last = plan;
  }
  EXPECT_LT(changes, better);
}

TEST(DraftPolicy, TimesOfStepsCorrectTheCosts) {
  DraftPolicy policy = Automatic(LinearCosts(1.0));
  const std::vector<DraftCandidate> candidates = Candidates(1);
  const std::vector<int64_t> none = {0};
  EXPECT_DOUBLE_EQ(policy.Rate(candidates, none, 0), 1.0 / 11.0);
  policy.CountVerifyTime(1, 22.0);  // twice as long as thought: 5 % of the way there
  EXPECT_DOUBLE_EQ(policy.Rate(candidates, none, 0), 1.0 / (1.05 * 11.0));
  policy.CountVerifyTime(1, 1e9);  // a stall counts as 8 times
  EXPECT_DOUBLE_EQ(policy.Rate(candidates, none, 0), 1.0 / ((1.05 + 0.05 * 6.95) * 11.0));
}

}  // namespace
}  // namespace talon::test
