// Sampling and verification through the backend: the distribution itself by chi-square, the filters
// against a plain sort, the pruned search against a full one.
#include "talon/backend/cpu/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "talon/backend/backend.h"
#include "talon/backend/gumbel.h"
#include "tests/backend/host_tensor.h"
#include "tests/support/sampling_reference.h"

namespace talon::test {
namespace {

std::vector<SamplingRow> Settings() {
  std::vector<SamplingRow> settings;
  const auto add = [&](float temperature, int32_t top_k, float top_p, float min_p) {
    SamplingRow row;
    row.temperature = temperature;
    row.top_k = top_k;
    row.top_p = top_p;
    row.min_p = min_p;
    settings.push_back(row);
  };
  add(1.0f, 0, 1.0f, 0.0f);
  add(0.6f, 0, 1.0f, 0.0f);
  add(2.5f, 0, 1.0f, 0.0f);
  add(1.0f, 3, 1.0f, 0.0f);
  add(1.0f, 0, 0.7f, 0.0f);
  add(1.3f, 0, 1.0f, 0.25f);
  add(0.9f, 6, 0.8f, 0.05f);
  return settings;
}

const std::vector<float> kLogits = {0.3f, -1.2f, 2.0f, 2.0f, 0.9f, -4.0f, 1.1f, 0.0f, -0.4f, 1.9f};

// Draws one token per position in batches, as the engine does.
std::vector<int32_t> Draw(Backend& backend, const std::vector<float>& logits, SamplingRow setting,
                          uint64_t seed, int64_t count) {
  const auto vocab = static_cast<int64_t>(logits.size());
  HostTensor batch(DType::kF32, count, vocab, vocab + 3);
  std::vector<SamplingRow> rows;
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t c = 0; c < vocab; ++c) batch.set(r, c, logits[static_cast<size_t>(c)]);
    setting.seed = seed;
    setting.position = r;
    rows.push_back(setting);
  }
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  backend.Sample(batch, rows.data(), tokens.data());
  return tokens;
}

TEST(Sample, DrawsTheDistributionItsSettingsDefine) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  constexpr int64_t kDraws = 40000;
  for (const SamplingRow& setting : Settings()) {
    std::vector<double> observed(kLogits.size(), 0.0);
    for (const int32_t token : Draw(*backend, kLogits, setting, 17, kDraws)) {
      observed[static_cast<size_t>(token)] += 1.0;
    }
    std::vector<double> expected = Probabilities(kLogits, setting);
    for (double& p : expected) p *= kDraws;
    const ChiSquare chi = Compare(observed, expected);
    EXPECT_LT(chi.value, chi.Limit()) << "temperature " << setting.temperature << " top_k "
                                      << setting.top_k << " top_p " << setting.top_p;
    // The test has power: a temperature a fifth off fails it.
    SamplingRow wrong = setting;
    wrong.temperature *= 1.2f;
    std::vector<double> mutant = Probabilities(kLogits, wrong);
    for (double& p : mutant) p *= kDraws;
    const ChiSquare mutant_chi = Compare(observed, mutant);
    if (chi.degrees > 3) {
      EXPECT_GT(mutant_chi.value, mutant_chi.Limit());
    }
  }
}

TEST(Sample, NeighbouringPositionsAndSeedsAreIndependent) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  const std::vector<float> logits = {0.0f, 0.5f, -0.5f, 0.2f};
  SamplingRow setting;
  setting.temperature = 1.0f;
  const std::vector<double> p = Probabilities(logits, setting);
  constexpr int64_t kDraws = 40000;
  const std::vector<int32_t> first = Draw(*backend, logits, setting, 1, kDraws + 1);
  const std::vector<int32_t> other_seed = Draw(*backend, logits, setting, 2, kDraws);
  for (const bool by_seed : {false, true}) {
    std::vector<double> observed(16, 0.0);
    std::vector<double> expected(16);
    for (size_t i = 0; i < kDraws; ++i) {
      const int32_t second = by_seed ? other_seed[i] : first[i + 1];
      observed[static_cast<size_t>(first[i]) * 4 + static_cast<size_t>(second)] += 1.0;
    }
    for (size_t i = 0; i < 16; ++i) expected[i] = kDraws * p[i / 4] * p[i % 4];
    const ChiSquare chi = Compare(observed, expected);
    EXPECT_LT(chi.value, chi.Limit()) << (by_seed ? "seeds" : "positions");
  }
}

TEST(Sample, ARowsTokenDoesNotDependOnTheBatch) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 3});
  SamplingRow setting;
  setting.temperature = 1.1f;
  setting.top_p = 0.9f;
  const std::vector<int32_t> together = Draw(*backend, kLogits, setting, 5, 50);
  for (int64_t position = 0; position < 50; ++position) {
    setting.seed = 5;
    setting.position = position;
    int32_t token = -1;
    HostTensor one(DType::kF32, 1, 10);
    for (int64_t c = 0; c < 10; ++c) one.set(0, c, kLogits[static_cast<size_t>(c)]);
    backend->Sample(one, &setting, &token);
    EXPECT_EQ(token, together[static_cast<size_t>(position)]);
  }
}

TEST(Sample, ADraftIsAcceptedWithItsProbability) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  SamplingRow setting;
  setting.temperature = 0.8f;
  const double p = Probabilities(kLogits, setting)[2];
  constexpr int64_t kDraws = 40000;
  int64_t accepted = 0;
  for (const int32_t token : Draw(*backend, kLogits, setting, 99, kDraws)) accepted += token == 2;
  const double deviation = std::sqrt(p * (1.0 - p) / kDraws);
  EXPECT_NEAR(static_cast<double>(accepted) / kDraws, p, 5.0 * deviation);
}

TEST(Sample, FiltersMatchAPlainSort) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal(0.0f, 2.0f);
  std::uniform_real_distribution<float> uniform;
  for (int trial = 0; trial < 400; ++trial) {
    std::vector<float> logits(1 + static_cast<size_t>(trial) % 60);
    for (float& v : logits) v = trial % 3 == 0 ? std::round(normal(random)) : normal(random);
    SamplingRow row;
    row.temperature = 0.3f + uniform(random) * 2.0f;
    row.top_k = trial % 2 == 0 ? 1 + trial % 17 : 0;
    row.top_k = std::min<int32_t>(row.top_k, static_cast<int32_t>(logits.size()));
    row.top_p = trial % 5 == 0 ? 1.0f : uniform(random);
    row.min_p = trial % 7 == 0 ? 0.3f * uniform(random) : 0.0f;
    const float smallest =
        cpu::SmallestAllowedLogit(logits.data(), static_cast<int64_t>(logits.size()), row);
    const std::vector<double> expected = Probabilities(logits, row);
    for (size_t i = 0; i < logits.size(); ++i) {
      EXPECT_EQ(logits[i] >= smallest, expected[i] > 0.0) << "trial " << trial << " token " << i;
    }
  }
}

TEST(Sample, SkippingHopelessTokensChangesNothing) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  for (int64_t trial = 0; trial < 60; ++trial) {
    std::vector<float> logits(5000);
    for (float& v : logits) v = normal(random);
    SamplingRow row;
    row.temperature = trial % 2 == 0 ? 1.0f : 4.0f;
    row.seed = 1234;
    row.position = trial;
    const uint64_t state = GumbelState(row.seed, row.position);
    double best = -INFINITY;
    int32_t expected = -1;
    for (int32_t token = 0; token < 5000; ++token) {
      const double score = static_cast<double>(logits[static_cast<size_t>(token)]) /
                               static_cast<double>(row.temperature) +
                           GumbelNoise(GumbelBits(state, token));
      if (score > best) {
        best = score;
        expected = token;
      }
    }
    EXPECT_EQ(cpu::SampleToken(logits.data(), 5000, row), expected);
  }
}

TEST(Sample, TemperatureZeroIsArgmaxAndNaNIsReported) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  SamplingRow greedy;
  for (const int32_t token : Draw(*backend, kLogits, greedy, 4, 20)) EXPECT_EQ(token, 2);
  std::vector<float> broken = kLogits;
  broken[7] = NAN;
  for (const SamplingRow& setting : Settings()) {
    for (const int32_t token : Draw(*backend, broken, setting, 4, 3)) EXPECT_EQ(token, -1);
  }
}

TEST(Sample, MaskedTokensAreNeverDrawn) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  std::vector<float> masked(10, -INFINITY);
  masked[3] = -5.0f;
  masked[8] = -5.5f;
  for (const SamplingRow& setting : Settings()) {
    for (const int32_t token : Draw(*backend, masked, setting, 6, 200)) {
      EXPECT_TRUE(token == 3 || token == 8) << token;
    }
  }
}

TEST(GumbelNoise, HasMeanAndVarianceOfAStandardGumbel) {
  const uint64_t state = GumbelState(7, 7);
  constexpr int64_t kCount = 200000;
  double sum = 0.0;
  double squares = 0.0;
  for (int64_t token = 0; token < kCount; ++token) {
    const double g = GumbelNoise(GumbelBits(state, token));
    sum += g;
    squares += g * g;
  }
  const double mean = sum / kCount;
  EXPECT_NEAR(mean, 0.5772156649, 0.02);
  EXPECT_NEAR(squares / kCount - mean * mean, M_PI * M_PI / 6.0, 0.05);
  EXPECT_TRUE(std::isfinite(GumbelNoise(0)));
  EXPECT_TRUE(std::isfinite(GumbelNoise(~uint64_t{0})));
}

TEST(Verify, CountsLeadingAgreement) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  // Rows of a sequence: the last committed token, then its drafts.
  const int32_t inputs[] = {10, 1, 2, 3, /**/ 20, 4, 5, /**/ 30, /**/ 40, 6, 7};
  const int32_t tokens[] = {1, 2, 9, 3, /**/ 4, 5, 8, /**/ 1, /**/ 0, 6, 7};
  const int32_t row_begin[] = {0, 4, 7, 8, 11};
  int32_t accepted[4];
  backend->VerifyDrafts(inputs, tokens, {11, 4, row_begin, nullptr}, accepted);
  EXPECT_EQ(accepted[0], 2);
  EXPECT_EQ(accepted[1], 2);
  EXPECT_EQ(accepted[2], 0);
  EXPECT_EQ(accepted[3], 0);
}

TEST(Verify, DraftIdsMapByOffset) {
  const auto backend = MakeBackend({.device = "cpu", .num_threads = 2});
  const int32_t offsets[] = {0, 5, 7};
  int32_t ids[] = {2, 0, 1, 1};
  backend->MapDraftIds(offsets, 4, ids);
  EXPECT_EQ(std::vector<int32_t>(ids, ids + 4), (std::vector<int32_t>{9, 0, 6, 6}));
  backend->MapDraftIds(nullptr, 4, ids);
  EXPECT_EQ(ids[0], 9);
}

}  // namespace
}  // namespace talon::test
