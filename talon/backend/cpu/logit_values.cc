// What is done to logits and read from them besides choosing a token; see sampling.h.
#include <algorithm>
#include <cmath>
#include <vector>

#include "talon/backend/cpu/logits_ops.h"
#include "talon/backend/cpu/sampling.h"

namespace talon::cpu {
namespace {

// Ids of the `count` largest logits, largest first, equal ones by id.
std::vector<int32_t> LargestLogits(const float* logits, int64_t vocab, int64_t count) {
  const auto before = [logits](int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  };
  std::vector<int32_t> best;  // sorted
  best.reserve(static_cast<size_t>(count) + 1);
  for (int64_t i = 0; i < vocab && count > 0; ++i) {
    const auto id = static_cast<int32_t>(i);
    const bool full = static_cast<int64_t>(best.size()) == count;
    if (full && !(logits[i] > logits[best.back()])) continue;
    best.insert(std::upper_bound(best.begin(), best.end(), id, before), id);
    if (full) best.pop_back();
  }
  return best;
}

}  // namespace

float AdjustedLogit(float logit, const LogitAdjustment& adjustment) {
  logit += adjustment.bias;
  logit *= logit > 0.0f ? 1.0f / adjustment.repetition : adjustment.repetition;
  logit -= adjustment.frequency;
  return logit - adjustment.presence;
}

void LogprobsRow(const float* logits, int64_t vocab, int32_t token, int64_t row,
                 const LogprobOutput& out) {
  const int32_t likeliest = ArgmaxRow(logits, vocab);
  const float largest = likeliest < 0 ? NAN : logits[likeliest];
  const double log_sum = std::log(SumOfWeights(logits, vocab, -INFINITY, largest, 1.0f));
  const auto logprob = [&](int32_t id) {
    return static_cast<float>(static_cast<double>(logits[id]) - largest - log_sum);
  };
  out.chosen[row] = logprob(token);
  const std::vector<int32_t> top = LargestLogits(logits, vocab, out.num_top);
  for (size_t i = 0; i < top.size(); ++i) {
    const auto at = static_cast<size_t>(row * out.num_top) + i;
    out.top_tokens[at] = top[i];
    out.top_logprobs[at] = logprob(top[i]);
  }
}

}  // namespace talon::cpu
