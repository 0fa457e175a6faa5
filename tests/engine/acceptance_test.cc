// The acceptance rule in the whole engine: drafters that are always right, always wrong or random,
// and the distribution of sampled texts over seeds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>

#include "tests/engine/micro_pair.h"
#include "tests/engine/scripted_drafter.h"
#include "tests/support/sampling_reference.h"

namespace talon::test {
namespace {

constexpr int64_t kTokens = 256;
constexpr int64_t kMaxDrafts = 8;

// Greedy and seeded, with more tokens than the tests read: drafts go beyond the end.
GenerationRequest Question(double temperature) {
  GenerationRequest request = MicroRequest(MicroIds(40, 30), kTokens, temperature, 11);
  request.sampling.frequency_penalty = 0.1;
  return request;
}

class Adversary : public testing::TestWithParam<double> {
 protected:
  Adversary() {
    GenerationRequest request = Question(GetParam());
    request.max_tokens += kMaxDrafts;
    truth_ = Answer(pair_, EngineOptions(), {request})[0].tokens;
  }

  int32_t Truth(int64_t position) const {
    const int64_t i = position - std::ssize(Question(0).prompt_ids);
    return truth_[static_cast<size_t>(std::min(i, std::ssize(truth_) - 1))];
  }
  // The answer with k drafts of the script, compared with the truth.
  std::vector<Round> Rounds(int64_t k, const ScriptedDrafter::Script& script) {
    const ScriptedDrafter drafter(*pair_.verifier.model, script);
    EngineOptions options;
    options.num_speculative_tokens = k;
    options.poison_dead_pages = true;
    const GenerationResult result =
        Answer(*pair_.verifier.model, &drafter, options, {Question(GetParam())})[0];
    EXPECT_EQ(result.tokens, std::vector<int32_t>(truth_.begin(), truth_.begin() + kTokens));
    EXPECT_FALSE(result.rounds.empty());
    return result.rounds;
  }
  int32_t vocab() const { return static_cast<int32_t>(pair_.verifier.model->config().vocab_size); }

  MicroPair pair_;
  std::vector<int32_t> truth_;
};

TEST_P(Adversary, AlwaysRightIsAlwaysAccepted) {
  for (int64_t k = 1; k <= kMaxDrafts; ++k) {
    const auto rounds = Rounds(k, [&](int64_t position) { return Truth(position); });
    for (const Round& round : rounds) EXPECT_EQ(round.accepted, k);
    EXPECT_EQ(std::ssize(rounds), (kTokens - 1 + k) / (k + 1)) << "all but the prompt's token";
  }
}

TEST_P(Adversary, AlwaysWrongIsNeverAccepted) {
  for (int64_t k = 1; k <= kMaxDrafts; ++k) {
    const auto rounds =
        Rounds(k, [&](int64_t position) { return (Truth(position) + 1) % vocab(); });
    for (const Round& round : rounds) EXPECT_EQ(round.accepted, 0);
    EXPECT_EQ(std::ssize(rounds), kTokens - 1);
  }
}

TEST_P(Adversary, RandomDraftsAreAcceptedAsFarAsTheyAreRight) {
  std::mt19937 random(9);
  const auto script = [&](int64_t position) {
    return random() % 3 > 0 ? Truth(position) : static_cast<int32_t>(random() % 512);
  };
  for (int64_t k = 1; k <= kMaxDrafts; ++k) {
    int64_t at = 1;  // of the answer, after the prompt's token
    for (const Round& round : Rounds(k, script)) {
      int64_t right = 0;
      while (right < k &&
             round.drafts[static_cast<size_t>(right)] == truth_[static_cast<size_t>(at + right)]) {
        ++right;
      }
      EXPECT_EQ(round.accepted, right) << "at " << at;
      at += right + 1;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Temperatures, Adversary, testing::Values(0.0, 0.9),
                         [](const auto& info) { return info.param == 0 ? "greedy" : "seeded"; });

// Two tokens of each of many seeds against the joint distribution that the verifier's logits
// define; the second one is verified against a draft.
class OverSeeds : public testing::Test {
 protected:
  static constexpr int64_t kSeeds = 6000;

  OverSeeds() {
    setting_.temperature = 1.6f;
    setting_.top_k = 4;
  }
  GenerationRequest Ask(uint64_t seed) const {
    GenerationRequest request = MicroRequest(prompt_, 2, setting_.temperature, seed);
    request.sampling.top_k = setting_.top_k;
    return request;
  }
  // With one draft, always the same token, or without.
  std::vector<GenerationResult> AskAll(std::optional<int32_t> draft) const {
    const ScriptedDrafter drafter(*pair_.verifier.model,
                                  [draft](int64_t /*position*/) { return draft.value_or(0); });
    EngineOptions options;
    options.num_speculative_tokens = draft ? 1 : 0;
    options.max_num_seqs = 64;
    options.enable_prefix_caching = true;
    std::vector<GenerationRequest> requests;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) requests.push_back(Ask(seed));
    return Answer(*pair_.verifier.model, &drafter, options, std::move(requests));
  }
  std::vector<double> After(const std::vector<int32_t>& text) const {
    return Probabilities(LogitsOf(*pair_.verifier.model, text).back(), setting_);
  }

  static int32_t Likeliest(const std::vector<double>& distribution) {
    return static_cast<int32_t>(std::max_element(distribution.begin(), distribution.end()) -
                                distribution.begin());
  }

  MicroPair pair_;
  std::vector<int32_t> prompt_ = MicroIds(50, 18);
  SamplingRow setting_;
};

TEST_F(OverSeeds, TextsAndAcceptanceFollowTheVerifiersDistribution) {
  const std::vector<double> first = After(prompt_);
  std::vector<int32_t> likely = prompt_;
  for (int i = 0; i < 2; ++i) likely.push_back(Likeliest(After(likely)));
  const std::vector<GenerationResult> results = AskAll(likely.back());
  EXPECT_EQ(Texts(results), Texts(AskAll(std::nullopt)));
  std::map<std::vector<int32_t>, double> counts;
  double accepted = 0.0;
  double expected_accepted = 0.0;
  double variance = 0.0;
  std::map<int32_t, std::vector<double>> second;
  for (const GenerationResult& result : results) {
    const int32_t token = result.tokens[0];
    if (!second.contains(token)) {
      std::vector<int32_t> text = prompt_;
      text.push_back(token);
      second[token] = After(text);
    }
    ++counts[result.tokens];
    const double p = second[token][static_cast<size_t>(result.rounds[0].drafts[0])];
    accepted += result.rounds[0].accepted > 0 ? 1.0 : 0.0;
    expected_accepted += p;
    variance += p * (1.0 - p);
  }
  std::vector<double> observed;
  std::vector<double> expected;
  for (auto& [token, distribution] : second) {
    for (size_t next = 0; next < distribution.size(); ++next) {
      const double p = first[static_cast<size_t>(token)] * distribution[next];
      const auto found = counts.find({token, static_cast<int32_t>(next)});
      observed.push_back(found == counts.end() ? 0.0 : found->second);
      expected.push_back(p * kSeeds);
    }
  }
  const ChiSquare chi = Compare(observed, expected);
  EXPECT_EQ(chi.degrees, 15) << "four tokens after each of four";
  EXPECT_LT(chi.value, chi.Limit());
  EXPECT_GT(variance, 100.0) << "drafts are neither always right nor always wrong";
  EXPECT_NEAR(accepted, expected_accepted, 5.0 * std::sqrt(variance));
}

}  // namespace
}  // namespace talon::test
