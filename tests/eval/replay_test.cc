// Rounds read off from drafts of every position, by hand.
#include "talon/eval/replay.h"

#include <gtest/gtest.h>

namespace talon {
namespace {

// Answer 10 11 12 13 14, tail 15 16.
const std::vector<int32_t> kContinuation = {10, 11, 12, 13, 14, 15, 16};
// Drafts after answer tokens 0 .. 3.
const DraftIds kDrafts = {{11, 12, 99}, {12, 99, 14}, {99, 14, 15}, {14, 15, 16}};

TEST(WalkRounds, FollowsAcceptedDrafts) {
  const std::vector<Round> rounds = WalkRounds(kContinuation, kDrafts, 3);
  // Two accepted and a third token of the verifier: the next round starts behind answer token 3. It
  // accepts beyond the end of the answer, as vLLM counts.
  ASSERT_EQ(rounds.size(), 2u);
  EXPECT_EQ(rounds[0].drafts, (std::vector<int32_t>{11, 12, 99}));
  EXPECT_EQ(rounds[0].accepted, 2);
  EXPECT_EQ(rounds[1].drafts, (std::vector<int32_t>{14, 15, 16}));
  EXPECT_EQ(rounds[1].accepted, 3);
}

TEST(WalkRounds, TakesTheFirstDraftsForSmallerK) {
  const std::vector<Round> rounds = WalkRounds(kContinuation, kDrafts, 1);
  ASSERT_EQ(rounds.size(), 3u);
  EXPECT_EQ(rounds[0].drafts, (std::vector<int32_t>{11}));
  EXPECT_EQ(rounds[0].accepted, 1);
  EXPECT_EQ(rounds[1].drafts, (std::vector<int32_t>{99}));
  EXPECT_EQ(rounds[1].accepted, 0);
  EXPECT_EQ(rounds[2].drafts, (std::vector<int32_t>{14}));
  EXPECT_EQ(rounds[2].accepted, 1);
}

TEST(WalkRounds, StopsCountingWhereTheTraceEnds) {
  const std::vector<int32_t> without_tail = {10, 11, 12, 13, 14};
  EXPECT_EQ(WalkRounds(without_tail, kDrafts, 3)[1].accepted, 1);
}

TEST(WalkRounds, AnswersOfOneTokenHaveNoRound) {
  EXPECT_TRUE(WalkRounds(std::vector<int32_t>{10, 11}, {}, 5).empty());
}

TEST(EveryPosition, IsOneRoundPerStart) {
  const std::vector<Round> rounds = EveryPosition(kContinuation, kDrafts, 3);
  ASSERT_EQ(rounds.size(), 4u);
  EXPECT_EQ(rounds[0].accepted, 2);
  EXPECT_EQ(rounds[1].accepted, 1);
  EXPECT_EQ(rounds[2].accepted, 0);
  EXPECT_EQ(rounds[3].accepted, 3);
}

}  // namespace
}  // namespace talon
