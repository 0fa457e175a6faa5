// The distribution that sampling settings define, in double precision, and the chi-square test
// against it.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "talon/backend/backend.h"

namespace talon::test {

// The probabilities a row's settings define: temperature, min_p, top_k, top_p in turn, by a plain
// sort.
inline std::vector<double> Probabilities(const std::vector<float>& logits, const SamplingRow& row) {
  const size_t vocab = logits.size();
  std::vector<double> p(vocab);
  const double largest = *std::max_element(logits.begin(), logits.end());
  for (size_t i = 0; i < vocab; ++i) p[i] = std::exp((logits[i] - largest) / row.temperature);
  const auto normalize = [&] {
    const double total = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& value : p) value /= total;
  };
  normalize();
  const double most = *std::max_element(p.begin(), p.end());
  if (row.min_p > 0.0f) {
    for (double& value : p) value = value < row.min_p * most ? 0.0 : value;
  }
  std::vector<size_t> order(vocab);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  if (row.top_k > 0) {
    for (size_t rank = static_cast<size_t>(row.top_k); rank < vocab; ++rank) {
      if (logits[order[rank]] != logits[order[static_cast<size_t>(row.top_k) - 1]]) {
        p[order[rank]] = 0.0;
      }
    }
  }
  normalize();
  if (row.top_p < 1.0f) {
    double likelier = 0.0;
    double mass = 0.0;
    std::vector<double> kept = p;
    for (size_t rank = 0; rank < vocab; ++rank) {
      if (rank > 0 && logits[order[rank]] != logits[order[rank - 1]]) likelier = mass;
      if (rank > 0 && likelier >= row.top_p) kept[order[rank]] = 0.0;
      mass += p[order[rank]];
    }
    p = kept;
    normalize();
  }
  return p;
}

// Chi-square statistic and its degrees of freedom; a drawn impossible token counts as infinite.
struct ChiSquare {
  double value = 0.0;
  int degrees = -1;
  // Mean and standard deviation of the statistic are d and sqrt(2 d); 5 of them are one in a
  // million.
  double Limit() const { return degrees + 5.0 * std::sqrt(2.0 * degrees); }
};

inline ChiSquare Compare(const std::vector<double>& observed, const std::vector<double>& expected) {
  ChiSquare chi;
  for (size_t i = 0; i < observed.size(); ++i) {
    if (expected[i] == 0.0) {
      if (observed[i] > 0.0) chi.value = INFINITY;
      continue;
    }
    chi.value += (observed[i] - expected[i]) * (observed[i] - expected[i]) / expected[i];
    ++chi.degrees;
  }
  return chi;
}

}  // namespace talon::test
