// See sampling.h.
#include "talon/backend/cpu/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <vector>

#include "talon/backend/gumbel.h"

namespace talon::cpu {
namespace {

// The k-th largest of `logits`.
float KthLargest(const float* logits, int64_t vocab, int64_t k) {
  std::vector<float> copy(logits, logits + vocab);
  const auto kth = copy.begin() + (k - 1);
  std::nth_element(copy.begin(), kth, copy.end(), std::greater<>());
  return *kth;
}

double Weight(float logit, float largest, double temperature) {
  return std::exp((static_cast<double>(logit) - largest) / temperature);
}

// The smallest logit that top_p keeps among those >= `floor`.
float TopPThreshold(const float* logits, int64_t vocab, float floor, float largest,
                    const SamplingRow& row) {
  const double temperature = row.temperature;
  double total = 0.0;
  int64_t count = 0;
  for (int64_t i = 0; i < vocab; ++i) {
    if (logits[i] < floor) continue;
    total += Weight(logits[i], largest, temperature);
    ++count;
  }
  // Tokens this unlikely hold less than 1 - top_p together, so they are cut; the rest are few.
  const double top_p = row.top_p;
  const double negligible = (1.0 - top_p) * total / static_cast<double>(count);
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

int32_t ArgmaxToken(const float* logits, int64_t vocab) {
  int64_t best = 0;
  bool nan = false;
  for (int64_t i = 0; i < vocab; ++i) {
    nan |= std::isnan(logits[i]);
    if (logits[i] > logits[best]) best = i;
  }
  return nan ? -1 : static_cast<int32_t>(best);
}

float SmallestAllowedLogit(const float* logits, int64_t vocab, const SamplingRow& row) {
  const float largest = *std::max_element(logits, logits + vocab);
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
  const int32_t likeliest = ArgmaxToken(logits, vocab);
  if (likeliest < 0 || row.temperature <= 0.0f) return likeliest;
  const float threshold = SmallestAllowedLogit(logits, vocab, row);
  const uint64_t state = GumbelState(row.seed, row.position);
  const double inverse_temperature = 1.0 / row.temperature;
  const auto score = [&](int64_t token, uint64_t bits) {
    return static_cast<double>(logits[token]) * inverse_temperature + GumbelNoise(bits);
  };
  int64_t best = likeliest;
  double best_score = score(best, GumbelBits(state, best));
  for (int64_t token = 0; token < vocab; ++token) {
    if (logits[token] < threshold) continue;
    const uint64_t bits = GumbelBits(state, token);
    // Noise above g needs 1 - u < exp(-g), that is about g / ln 2 leading ones in `bits`; 0.694 is
    // just above ln 2. Most tokens fall to this test and need no logarithm.
    const double bound = 0.694 * (std::countl_one(bits) + 1);
    if (static_cast<double>(logits[token]) * inverse_temperature + bound < best_score) continue;
    const double candidate = score(token, bits);
    if (candidate > best_score || (candidate == best_score && token < best)) {
      best = token;
      best_score = candidate;
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
