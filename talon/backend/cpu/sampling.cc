// See sampling.h.
#include "talon/backend/cpu/sampling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "talon/backend/cpu/logits_ops.h"
#include "talon/backend/gumbel.h"

namespace talon::cpu {
namespace {

// The k-th largest of `logits`: the largest seen so far are kept, and thinned to k when there are
// twice as many, so that most logits cost one comparison.
float KthLargest(const float* logits, int64_t vocab, int64_t k) {
  std::vector<float> kept;
  kept.reserve(static_cast<size_t>(2 * k));
  float floor = -INFINITY;  // at least k logits seen so far are this large
  const auto thin = [&] {
    const auto kth = kept.begin() + (k - 1);
    std::nth_element(kept.begin(), kth, kept.end(), std::greater<>());
    floor = *kth;
    kept.erase(kth + 1, kept.end());
  };
  for (int64_t i = 0; i < vocab; ++i) {
    if (!(logits[i] > floor) && static_cast<int64_t>(kept.size()) >= k) continue;
    kept.push_back(logits[i]);
    if (static_cast<int64_t>(kept.size()) == 2 * k) thin();
  }
  thin();
  return floor;
}

double Weight(float logit, float largest, double temperature) {
  return std::exp((static_cast<double>(logit) - largest) / temperature);
}

// The smallest logit that top_p keeps among those >= `floor`.
float TopPThreshold(const float* logits, int64_t vocab, float floor, float largest,
                    const SamplingRow& row) {
  const double temperature = row.temperature;
  const double total = SumOfWeights(logits, vocab, floor, largest, row.temperature);
  // Tokens this unlikely hold less than 1 - top_p together, so they are cut; the rest are few.
  const double top_p = row.top_p;
  const double negligible = (1.0 - top_p) * total / static_cast<double>(vocab);
  const auto negligible_logit =
      static_cast<float>(largest + temperature * std::log(std::max(negligible, 1e-300)));
  const float sorted_floor = std::max(floor, std::nextafter(negligible_logit, -INFINITY));
  std::vector<float> sorted;
  for (int64_t i = 0; i < vocab; ++i) {
    if (logits[i] >= sorted_floor) sorted.push_back(logits[i]);
  }
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  float threshold = largest;
  double likelier = 0.0;  // mass of strictly larger logits
  double mass = 0.0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i > 0 && sorted[i] != sorted[i - 1]) likelier = mass;
    if (likelier >= top_p * total) break;
    threshold = sorted[i];
    mass += Weight(sorted[i], largest, temperature);
  }
  return threshold;
}

}  // namespace

float SmallestAllowedLogit(const float* logits, int64_t vocab, const SamplingRow& row) {
  const float largest = logits[ArgmaxRow(logits, vocab)];
  float threshold = -INFINITY;
  if (row.min_p > 0.0f) {
    const double ratio = std::log(static_cast<double>(std::min(row.min_p, 1.0f)));
    threshold = static_cast<float>(largest + row.temperature * ratio);
  }
  if (row.top_k > 0 && row.top_k < vocab) {
    threshold = std::max(threshold, KthLargest(logits, vocab, row.top_k));
  }
  if (row.top_p < 1.0f) threshold = TopPThreshold(logits, vocab, threshold, largest, row);
  return threshold;
}

int32_t SampleToken(const float* logits, int64_t vocab, const SamplingRow& row) {
  const int32_t likeliest = ArgmaxRow(logits, vocab);
  if (likeliest < 0 || row.temperature <= 0.0f) return likeliest;
  const float threshold = SmallestAllowedLogit(logits, vocab, row);
  const uint64_t state = GumbelState(row.seed, row.position);
  const double temperature = row.temperature;
  // Only one token in 256 draws noise above 5.55; the others need no logarithm when they lie
  // further than that below the best.
  constexpr uint64_t kRareBits = uint64_t{0xFF} << 56;
  constexpr double kCommonNoise = 5.55;
  int64_t best = likeliest;
  double best_score = logits[best] / temperature + GumbelNoise(GumbelBits(state, best));
  double hopeless = (best_score - kCommonNoise) * temperature;
  for (int64_t token = 0; token < vocab; ++token) {
    if (logits[token] < threshold) continue;
    const uint64_t bits = GumbelBits(state, token);
    if (bits < kRareBits && logits[token] < hopeless) continue;
    const double score = logits[token] / temperature + GumbelNoise(bits);
    if (score > best_score || (score == best_score && token < best)) {
      best = token;
      best_score = score;
      hopeless = (best_score - kCommonNoise) * temperature;
    }
  }
  return static_cast<int32_t>(best);
}

int32_t CountAccepted(const int32_t* inputs, const int32_t* tokens, int64_t begin, int64_t end) {
  int32_t accepted = 0;
  for (int64_t row = begin; row + 1 < end && inputs[row + 1] == tokens[row]; ++row) ++accepted;
  return accepted;
}

}  // namespace talon::cpu
