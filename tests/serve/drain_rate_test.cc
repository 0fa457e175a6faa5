#include "talon/serve/drain_rate.h"

#include <gtest/gtest.h>

namespace talon {
namespace {

using std::chrono::seconds;

TEST(DrainRate, KnowsNothingAtFirst) {
  DrainRate rate;
  EXPECT_EQ(rate.RetryAfterS(100, DrainRate::Clock::time_point()), 1);
  rate.CountFinished(DrainRate::Clock::time_point());
  EXPECT_EQ(rate.RetryAfterS(100, DrainRate::Clock::time_point()), 1);
}

TEST(DrainRate, MeasuresWhatLeft) {
  DrainRate rate;
  const DrainRate::Clock::time_point start;
  for (int i = 0; i <= 10; ++i) rate.CountFinished(start + seconds(2 * i));  // one every 2 s
  EXPECT_EQ(rate.RetryAfterS(1, start + seconds(20)), 2);
  EXPECT_EQ(rate.RetryAfterS(5, start + seconds(20)), 10);
  EXPECT_EQ(rate.RetryAfterS(1000, start + seconds(20)), DrainRate::kMaxRetryAfterS);
}

TEST(DrainRate, ASilentServerLooksSlow) {
  DrainRate rate;
  const DrainRate::Clock::time_point start;
  rate.CountFinished(start);
  rate.CountFinished(start + seconds(1));
  EXPECT_EQ(rate.RetryAfterS(1, start + seconds(30)), 30);
}

TEST(DrainRate, ForgetsTheDistantPast) {
  DrainRate rate;
  DrainRate::Clock::time_point now;
  for (int i = 0; i < 10; ++i) rate.CountFinished(now += seconds(60));
  for (int i = 0; i < 32; ++i) rate.CountFinished(now += seconds(1));
  EXPECT_EQ(rate.RetryAfterS(1, now), 1);
}

}  // namespace
}  // namespace talon
