#include "talon/serve/stop_strings.h"

#include <gtest/gtest.h>

#include <random>

namespace talon {
namespace {

// What a stop string leaves of a whole text, found by plain search.
std::string Cut(const std::string& text, const std::vector<std::string>& stops, bool include) {
  for (size_t end = 1; end <= text.size(); ++end) {  // the first moment at which one is complete
    size_t begin = std::string::npos;
    size_t size = 0;
    for (const std::string& stop : stops) {
      const size_t at = text.substr(0, end).find(stop);
      if (at < begin) {
        begin = at;
        size = stop.size();
      }
    }
    if (begin != std::string::npos) return text.substr(0, include ? begin + size : begin);
  }
  return text;
}

TEST(StopStrings, HoldsBackWhatMayBecomeOne) {
  StopStrings stops({"END"}, false);
  EXPECT_EQ(stops.Push("aE"), "a");
  EXPECT_EQ(stops.Push("N"), "");
  EXPECT_EQ(stops.Push("x"), "ENx");
  EXPECT_EQ(stops.Push("EN"), "");
  EXPECT_EQ(stops.Push("D and more"), "");
  ASSERT_TRUE(stops.found());
  EXPECT_EQ(*stops.found(), "END");
  EXPECT_EQ(stops.Push("later"), "");
}

TEST(StopStrings, GivesOutHeldTextAtTheEnd) {
  StopStrings stops({"END"}, false);
  EXPECT_EQ(stops.Push("xEN"), "x");
  EXPECT_EQ(stops.Finish(), "EN");
  EXPECT_FALSE(stops.found());
}

TEST(StopStrings, KeepsTheMatchWhenAsked) {
  StopStrings stops({"\n\n"}, true);
  EXPECT_EQ(stops.Push("one\n"), "one");
  EXPECT_EQ(stops.Push("\ntwo"), "\n\n");
  EXPECT_TRUE(stops.found());
}

TEST(StopStrings, OverlappingBeginnings) {
  StopStrings stops({"aab"}, false);
  EXPECT_EQ(stops.Push("a"), "");
  EXPECT_EQ(stops.Push("a"), "");
  EXPECT_EQ(stops.Push("a"), "a");
  EXPECT_EQ(stops.Push("b"), "");
  EXPECT_TRUE(stops.found());
}

TEST(StopStrings, CharacterByCharacterEqualsPlainSearch) {
  std::mt19937 random(7);
  const std::vector<std::vector<std::string>> sets = {
      {"ab"}, {"aab", "b"}, {"abc", "bca", "ca"}, {"cc", "c"}, {"abab"}};
  for (int round = 0; round < 2000; ++round) {
    const auto& set = sets[random() % sets.size()];
    const bool include = random() % 2 == 0;
    std::string text;
    for (int i = 0; i < 12; ++i) text += static_cast<char>('a' + random() % 3);
    StopStrings stops(set, include);
    std::string out;
    for (const char c : text) out += stops.Push(std::string(1, c));
    if (!stops.found()) out += stops.Finish();
    EXPECT_EQ(out, Cut(text, set, include)) << text;
  }
}

TEST(StopStrings, ExemptTextEndsNone) {
  StopStrings stops({"ab", "abcd"}, false);
  EXPECT_EQ(stops.PushExempt("xabab"), "xab") << "abcd may still come";
  EXPECT_EQ(stops.Push("x"), "abx");
  EXPECT_FALSE(stops.found());
  EXPECT_EQ(stops.PushExempt("a"), "");
  EXPECT_EQ(stops.Push("bc"), "") << "begins in exempt text, ends behind it";
  EXPECT_EQ(stops.found(), "ab");
}

}  // namespace
}  // namespace talon
