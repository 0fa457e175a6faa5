// Bootstrap intervals against scipy.stats.bootstrap on the fixture traces. The constants come from
// scipy 1.17 with n_resamples=200000, method="BCa", one sample of prompt indices per category and
// statistic = sum(accepted_b) / sum(drafts_b) - sum(accepted_a) / sum(drafts_a).
#include "talon/eval/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/eval/statistics_fixture.h"

namespace talon {
namespace {

constexpr BootstrapOptions kOptions = {.resamples = 100000, .confidence = 0.95, .seed = 7};

// A 2.5 % quantile of B resamples has a standard error of sqrt(0.025 * 0.975 / B) / phi(1.96) =
// 0.0085 s.e. at B = 100,000; four of these, and as much again for scipy's own draw, make 6 % of
// the s.e.
void ExpectInterval(const Interval& interval, double estimate, double standard_error, double low,
                    double high) {
  EXPECT_NEAR(interval.estimate, estimate, 1e-12);
  EXPECT_NEAR(interval.standard_error, standard_error, 0.015 * standard_error);
  EXPECT_NEAR(interval.low, low, 0.06 * standard_error);
  EXPECT_NEAR(interval.high, high, 0.06 * standard_error);
}

TEST(LengthInterval, EqualsScipy) {
  ExpectInterval(LengthInterval(test::FixtureRounds("traces_fp32.json"), kOptions),
                 1.8503955885878686, 0.05528521022075447, 1.7482412673410874, 1.9644986186467561);
  ExpectInterval(LengthInterval(test::FixtureRounds("traces_fp32.json", "HumanEval"), kOptions),
                 2.9256198347107438, 0.17549169538809317, 2.5867008226247565, 3.2680722891566263);
}

TEST(DifferenceInterval, EqualsScipy) {
  const auto difference = [](const std::string& other, const std::string& category) {
    return DifferenceInterval(test::FixtureRounds("traces_fp32.json", category),
                              test::FixtureRounds(other, category), kOptions);
  };
  ExpectInterval(difference("traces_nvfp4_w4a4_fp32.json", ""), -0.024803171526257217,
                 0.007406933816718938, -0.039215932309301836, -0.010189881780611228);
  ExpectInterval(difference("traces_nvfp4_w4a16_fp32.json", ""), -0.010739182002328151,
                 0.005619652020148624, -0.02179981022296896, 0.00025341588163499103);
  // 20 prompts: BCa differs visibly from the percentile interval (-0.2403, 0.0242).
  ExpectInterval(difference("traces_nvfp4_w4a4_fp32.json", "HumanEval"), -0.08872143898881868,
                 0.06788247667093751, -0.22235900673400688, 0.03647989413175276);
}

TEST(DifferenceInterval, OfADrafterWithItselfIsZero) {
  const auto prompts = test::FixtureRounds("traces_fp32.json");
  const Interval interval = DifferenceInterval(prompts, prompts, {});
  EXPECT_EQ(interval.estimate, 0);
  EXPECT_EQ(interval.standard_error, 0);
  EXPECT_EQ(interval.low, 0);
  EXPECT_EQ(interval.high, 0);
}

TEST(DifferenceInterval, SameSeedSameInterval) {
  const auto base = test::FixtureRounds("traces_fp32.json");
  const auto other = test::FixtureRounds("traces_nvfp4_w4a4_fp32.json");
  const Interval first = DifferenceInterval(base, other, {});
  const Interval second = DifferenceInterval(base, other, {});
  EXPECT_EQ(first.low, second.low);
  EXPECT_EQ(first.high, second.high);
  EXPECT_NE(DifferenceInterval(base, other, {.seed = 8}).low, first.low);
}

// Pairing is what makes small differences visible: unpaired, the s.e. would be that of two lengths.
TEST(DifferenceInterval, PairingNarrowsIt) {
  const auto base = test::FixtureRounds("traces_fp32.json");
  const auto other = test::FixtureRounds("traces_nvfp4_w4a4_fp32.json");
  const double unpaired =
      std::hypot(LengthInterval(base, {}).standard_error, LengthInterval(other, {}).standard_error);
  EXPECT_LT(DifferenceInterval(base, other, {}).standard_error, 0.15 * unpaired);
}

TEST(DifferenceInterval, PromptsWithoutRoundsAreHarmless) {
  const std::vector<PromptRounds> none = {{"a", "c", {}}, {"b", "c", {}}};
  const Interval interval = DifferenceInterval(none, none, {});
  EXPECT_EQ(interval.estimate, 0);
  EXPECT_EQ(LengthInterval(none, {}).estimate, 1);
}

TEST(NormalQuantile, EqualsScipy) {
  EXPECT_NEAR(NormalQuantile(0.975), 1.959963984540054, 1e-13);
  EXPECT_NEAR(NormalQuantile(0.8), 0.8416212335729143, 1e-13);
  EXPECT_NEAR(NormalQuantile(0.3), -0.5244005127080407, 1e-13);
  EXPECT_NEAR(NormalQuantile(1e-9), -5.997807015007687, 1e-11);
  EXPECT_NEAR(NormalQuantile(0.5), 0, 1e-13);
  EXPECT_TRUE(std::isinf(NormalQuantile(0)));
  EXPECT_TRUE(std::isinf(NormalQuantile(1)));
}

TEST(SmallestDetectableDifference, Is2Point8StandardErrors) {
  EXPECT_NEAR(SmallestDetectableDifference(1), 2.801585218112968, 1e-12);
}

}  // namespace
}  // namespace talon
