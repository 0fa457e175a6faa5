#include "talon/eval/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <random>

#include "talon/base/error.h"

namespace talon {
namespace {

// Accepted drafts and rounds with drafts under both drafters, of one prompt or summed.
struct PairedCounts {
  double base_accepted = 0;
  double base_drafts = 0;
  double other_accepted = 0;
  double other_drafts = 0;

  void Add(const PairedCounts& counts, double sign = 1) {
    base_accepted += sign * counts.base_accepted;
    base_drafts += sign * counts.base_drafts;
    other_accepted += sign * counts.other_accepted;
    other_drafts += sign * counts.other_drafts;
  }
  // Ratios of sums. The 1 of both lengths cancels; without a base this is other's length minus 1.
  double Difference() const {
    return other_accepted / std::max(other_drafts, 1.0) -
           base_accepted / std::max(base_drafts, 1.0);
  }
};

using Stratum = std::vector<PairedCounts>;

double NormalCdf(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

// Strata in order of category name, so that the draw does not depend on the order of the files.
std::vector<Stratum> Stratify(std::span<const PromptRounds> base,
                              std::span<const PromptRounds> other) {
  std::map<std::string, Stratum> strata;
  for (size_t i = 0; i < other.size(); ++i) {
    AcceptanceCounts a;
    if (!base.empty()) a.Add(base[i].rounds);
    AcceptanceCounts b;
    b.Add(other[i].rounds);
    strata[other[i].category].push_back(
        {static_cast<double>(a.accepted), static_cast<double>(a.drafts),
         static_cast<double>(b.accepted), static_cast<double>(b.drafts)});
  }
  std::vector<Stratum> result;
  for (auto& [category, stratum] : strata) result.push_back(std::move(stratum));
  return result;
}

PairedCounts Total(const std::vector<Stratum>& strata) {
  PairedCounts total;
  for (const Stratum& stratum : strata) {
    for (const PairedCounts& prompt : stratum) total.Add(prompt);
  }
  return total;
}

// The statistic of every resample, ascending.
std::vector<double> Resample(const std::vector<Stratum>& strata, const BootstrapOptions& options) {
  std::mt19937_64 generator(options.seed);
  std::vector<double> values(static_cast<size_t>(options.resamples));
  for (double& value : values) {
    PairedCounts sums;
    for (const Stratum& stratum : strata) {
      for (size_t i = 0; i < stratum.size(); ++i) {
        // 32 random bits times n, high half: the bias is below n / 2^32.
        sums.Add(stratum[((generator() >> 32) * stratum.size()) >> 32]);
      }
    }
    value = sums.Difference();
  }
  std::sort(values.begin(), values.end());
  return values;
}

// BCa's acceleration from the delete-one jackknife within each stratum.
double Acceleration(const std::vector<Stratum>& strata, const PairedCounts& total) {
  double cubes = 0;
  double squares = 0;
  for (const Stratum& stratum : strata) {
    const auto n = static_cast<double>(stratum.size());
    std::vector<double> without(stratum.size());
    double mean = 0;
    for (size_t i = 0; i < stratum.size(); ++i) {
      PairedCounts rest = total;
      rest.Add(stratum[i], -1);
      without[i] = rest.Difference();
      mean += without[i] / n;
    }
    for (const double value : without) {
      const double influence = (n - 1) * (mean - value);
      cubes += influence * influence * influence / (n * n * n);
      squares += influence * influence / (n * n);
    }
  }
  return squares > 0 ? cubes / (6 * std::pow(squares, 1.5)) : 0;
}

// Linear interpolation between order statistics.
double Quantile(const std::vector<double>& sorted, double probability) {
  const double place = probability * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

double StandardDeviation(const std::vector<double>& values) {
  double mean = 0;
  for (const double value : values) mean += value;
  mean /= static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

Interval Bootstrap(const std::vector<Stratum>& strata, const BootstrapOptions& options) {
  CheckInternal(options.resamples >= 2, "a bootstrap needs two resamples or more");
  const PairedCounts total = Total(strata);
  const double estimate = total.Difference();
  const std::vector<double> values = Resample(strata, options);
  Interval interval{estimate, StandardDeviation(values), estimate, estimate};
  if (values.front() == values.back()) return interval;

  // Share of resamples below the estimate; ties count half.
  const auto [first, last] = std::equal_range(values.begin(), values.end(), estimate);
  const double below = 0.5 *
                       static_cast<double>((first - values.begin()) + (last - values.begin())) /
                       static_cast<double>(values.size());
  const double bias = NormalQuantile(below);
  const double acceleration = Acceleration(strata, total);
  const auto endpoint = [&](double probability) {
    const double z = bias + NormalQuantile(probability);
    return Quantile(values, NormalCdf(bias + z / (1 - acceleration * z)));
  };
  if (std::isfinite(bias)) {
    interval.low = endpoint((1 - options.confidence) / 2);
    interval.high = endpoint((1 + options.confidence) / 2);
  } else {
    interval.low = values.front();
    interval.high = values.back();
  }
  return interval;
}

}  // namespace

Interval LengthInterval(std::span<const PromptRounds> prompts, const BootstrapOptions& options) {
  Interval interval = Bootstrap(Stratify({}, prompts), options);
  interval.estimate += 1;
  interval.low += 1;
  interval.high += 1;
  return interval;
}

Interval DifferenceInterval(std::span<const PromptRounds> base, std::span<const PromptRounds> other,
                            const BootstrapOptions& options) {
  CheckInternal(base.size() == other.size(), "paired prompts differ in number");
  for (size_t i = 0; i < base.size(); ++i) {
    CheckInternal(base[i].id == other[i].id, "paired prompts differ");
  }
  return Bootstrap(Stratify(base, other), options);
}

double SmallestDetectableDifference(double standard_error) {
  return (NormalQuantile(0.975) + NormalQuantile(0.8)) * standard_error;
}

double NormalQuantile(double probability) {
  if (probability <= 0) return -std::numeric_limits<double>::infinity();
  if (probability >= 1) return std::numeric_limits<double>::infinity();
  // The distribution function is monotonic: bisection to the last bit.
  double low = -40;
  double high = 40;
  while (true) {
    const double middle = 0.5 * (low + high);
    if (middle == low || middle == high) return middle;
    (NormalCdf(middle) < probability ? low : high) = middle;
  }
}

}  // namespace talon
