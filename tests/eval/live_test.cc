// Differences between a live decode and its trace or replay are found and named.
#include "talon/eval/live.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/test_data.h"

namespace talon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LiveDifferencesTest : public testing::Test {
 protected:
  LiveDifferencesTest() : store_(directory_.path() / "traces", Manifest()) {
    const std::vector<std::byte> features(4 * 2 * 2);
    Trace trace;
    trace.id = "qa/7";
    trace.prompt_tokens = 2;
    trace.answer_tokens = 3;
    trace.tokens = {5, 6, 10, 11, 12, 13, 14};
    trace.features = features;
    store_.Append({trace});
    run_.answers.resize(1);
    run_.answers[0].tokens = {10, 11, 12};
    run_.answers[0].rounds = {{{11, 9}, 1}};
  }

  static TraceManifest Manifest() {
    TraceManifest manifest;
    manifest.aux_layer_ids = {1};
    manifest.hidden_size = 2;
    return manifest;
  }

  std::vector<std::string> Differences(const std::vector<Round>& replayed) const {
    const std::vector<TraceKey> keys = {{0, 0}};
    const std::vector<std::vector<Round>> rounds = {replayed};
    return LiveDifferences(run_, store_, keys, rounds);
  }

  test::TempDir directory_;
  TraceStore store_;
  LiveRun run_;
};

TEST_F(LiveDifferencesTest, NoneWhenTextAndRoundsAgree) {
  EXPECT_THAT(Differences({{{11, 9}, 1}}), IsEmpty());
}

TEST_F(LiveDifferencesTest, NamesTheFirstRound) {
  EXPECT_THAT(Differences({{{11, 8}, 1}}),
              ElementsAre(HasSubstr("qa/7: round 1: live drafts [11 9], 1 accepted; replay drafts "
                                    "[11 8], 1 accepted")));
  EXPECT_THAT(Differences({{{11, 9}, 2}}), ElementsAre(HasSubstr("round 1")));
  EXPECT_THAT(Differences({{{11, 9}, 1}, {{1, 2}, 0}}),
              ElementsAre(HasSubstr("1 rounds live, 2 in the replay")));
}

TEST_F(LiveDifferencesTest, NamesTheFirstToken) {
  run_.answers[0].tokens = {10, 11, 13};
  EXPECT_THAT(Differences({{{11, 9}, 1}}), ElementsAre(HasSubstr("answer token 2")));
  run_.answers[0].tokens = {10, 11};
  EXPECT_THAT(Differences({{{11, 9}, 1}}), ElementsAre(HasSubstr("answer token 2")));
  run_.answers[0].tokens = {10, 11, 12, 13};
  EXPECT_THAT(Differences({{{11, 9}, 1}}), ElementsAre(HasSubstr("answer token 3")));
}

}  // namespace
}  // namespace talon
