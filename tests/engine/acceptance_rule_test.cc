// The proof that drafts change neither a text nor its probability, by counting. A made-up language
// over three tokens gives every prefix a distribution in twelfths; noise at a position is one of
// twelve equally likely values, keyed by the position as the engine's is by (seed, position). All
// noise there can be is tried with every kind of drafter, so probabilities are counts and equal
// exactly.
#include "talon/engine/acceptance_rule.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <random>
#include <vector>

namespace talon::test {
namespace {

using Text = std::vector<int32_t>;
using Noise = std::vector<int>;                         // [position]
using Drafter = std::function<Text(const Text& text)>;  // any function of the past

constexpr int32_t kVocab = 3;
constexpr int kLevels = 12;
constexpr size_t kLength = 4;

class Language {
 public:
  explicit Language(unsigned seed) : random_(seed) {}

  // Twelfths of each token after `prefix`; zeros happen.
  const std::array<int, kVocab>& Weights(const Text& prefix) {
    const auto [entry, is_new] = weights_.try_emplace(prefix);
    if (is_new) {
      for (int left = kLevels; left > 0; --left) ++entry->second[Bucket()];
    }
    return entry->second;
  }
  int32_t Sample(const Text& prefix, const Noise& noise) {
    int below = noise[prefix.size()];
    const std::array<int, kVocab>& weights = Weights(prefix);
    int32_t token = 0;
    while (below >= weights[static_cast<size_t>(token)]) {
      below -= weights[static_cast<size_t>(token++)];
    }
    return token;
  }
  int32_t Argmax(const Text& prefix) {
    const std::array<int, kVocab>& weights = Weights(prefix);
    return static_cast<int32_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
  }

 private:
  size_t Bucket() { return std::min<size_t>(random_() % 4, kVocab - 1); }
  std::mt19937 random_;
  std::map<Text, std::array<int, kVocab>> weights_;
};

struct Run {
  Text text;
  std::vector<int64_t> accepted;  // of each round
};

// Decodes kLength tokens in rounds, the rule being the engine's.
Run Decode(const std::function<int32_t(const Text&)>& choose, const Drafter& drafter) {
  Run run;
  while (run.text.size() < kLength) {
    Text drafts = drafter(run.text);
    drafts.resize(std::min(drafts.size(), kLength - run.text.size() - 1));
    Text chosen;
    Text prefix = run.text;
    for (size_t t = 0; t <= drafts.size(); ++t) {
      chosen.push_back(choose(prefix));
      if (t < drafts.size()) prefix.push_back(drafts[t]);
    }
    const int64_t accepted = CountAccepted(drafts, chosen);
    if (!drafts.empty()) run.accepted.push_back(accepted);
    run.text.insert(run.text.end(), chosen.begin(), chosen.begin() + accepted + 1);
  }
  return run;
}

// Every constant pair of drafts, ids nobody chooses included; and drafters that look at the text.
std::vector<Drafter> Drafters(Language& language) {
  std::vector<Drafter> drafters = {[](const Text&) { return Text(); }};
  for (int32_t a = 0; a <= kVocab; ++a) {
    for (int32_t b = 0; b <= kVocab; ++b) {
      drafters.emplace_back([a, b](const Text&) { return Text{a, b}; });
    }
  }
  drafters.emplace_back([&language](const Text& text) {  // the likeliest, and one step blind
    const int32_t first = language.Argmax(text);
    return Text{first, first, 0};
  });
  drafters.emplace_back([](const Text& text) {  // as many as the text is long
    return Text(text.size(), static_cast<int32_t>(text.size()) % kVocab);
  });
  return drafters;
}

void ForEachNoise(const std::function<void(const Noise&)>& visit) {
  Noise noise(kLength, 0);
  const auto next = [&noise] {
    for (int& level : noise) {
      if (++level < kLevels) return true;
      level = 0;
    }
    return false;
  };
  do {
    visit(noise);
  } while (next());
}

TEST(AcceptanceRule, CountsTheLeadingDraftsThatWereChosen) {
  EXPECT_EQ(CountAccepted(Text{}, Text{5}), 0);
  EXPECT_EQ(CountAccepted(Text{5}, Text{5, 1}), 1);
  EXPECT_EQ(CountAccepted(Text{4, 1}, Text{5, 1, 1}), 0) << "what follows a wrong draft is void";
  EXPECT_EQ(CountAccepted(Text{5, 2, 3}, Text{5, 2, 4, 3}), 2);
}

TEST(AcceptanceRule, SeededTextsAndTheirProbabilitiesAreThoseWithoutDrafts) {
  Language language(3);
  for (const Drafter& drafter : Drafters(language)) {
    std::map<Text, int64_t> counts;
    ForEachNoise([&](const Noise& noise) {
      const auto choose = [&](const Text& prefix) { return language.Sample(prefix, noise); };
      const Text text = Decode(choose, drafter).text;
      ASSERT_EQ(text, Decode(choose, [](const Text&) { return Text(); }).text);
      ++counts[text];
    });
    int64_t all = 0;
    for (const auto& [text, count] : counts) {
      int64_t expected = 1;  // in twelfths to the power of kLength
      for (size_t i = 0; i < kLength; ++i) {
        const Text prefix(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(i));
        expected *= language.Weights(prefix)[static_cast<size_t>(text[i])];
      }
      EXPECT_EQ(count, expected);
      all += count;
    }
    EXPECT_EQ(all, int64_t{kLevels} * kLevels * kLevels * kLevels);
  }
}

TEST(AcceptanceRule, ADraftIsAcceptedWithItsProbability) {
  Language language(4);
  for (int32_t a = 0; a < kVocab; ++a) {
    for (int32_t b = 0; b < kVocab; ++b) {
      std::array<int64_t, 3> at_least = {0, 0, 0};
      ForEachNoise([&](const Noise& noise) {
        const auto choose = [&](const Text& prefix) { return language.Sample(prefix, noise); };
        const int64_t accepted = Decode(choose, [&](const Text&) {
                                   return Text{a, b};
                                 }).accepted[0];
        for (int64_t i = 0; i <= accepted; ++i) ++at_least[static_cast<size_t>(i)];
      });
      const int64_t p_a = language.Weights({})[static_cast<size_t>(a)];
      const int64_t p_b = language.Weights({a})[static_cast<size_t>(b)];
      EXPECT_EQ(at_least[1] * kLevels, at_least[0] * p_a);
      EXPECT_EQ(at_least[2] * kLevels * kLevels, at_least[0] * p_a * p_b);
    }
  }
}

TEST(AcceptanceRule, GreedyTextIsTheSameWithAnyDrafter) {
  for (unsigned seed = 0; seed < 50; ++seed) {
    Language language(seed);
    const auto choose = [&](const Text& prefix) { return language.Argmax(prefix); };
    const Text expected = Decode(choose, [](const Text&) { return Text(); }).text;
    for (const Drafter& drafter : Drafters(language)) {
      EXPECT_EQ(Decode(choose, drafter).text, expected);
    }
  }
}

// A rule that keeps what follows a wrong draft would be faster, and these counts would show it.
TEST(AcceptanceRuleMutants, KeepingDraftsBehindAWrongOneChangesTheText) {
  Language language(3);
  int64_t changed = 0;
  ForEachNoise([&](const Noise& noise) {
    const auto choose = [&](const Text& prefix) { return language.Sample(prefix, noise); };
    const Text drafts = {0, 1, 2};
    Text chosen;
    for (size_t t = 0; t < kLength; ++t) {
      chosen.push_back(
          choose(Text(drafts.begin(), drafts.begin() + static_cast<std::ptrdiff_t>(t))));
    }
    changed += chosen != Decode(choose, [&](const Text&) { return drafts; }).text;
  });
  EXPECT_GT(changed, 0);
}

}  // namespace
}  // namespace talon::test
