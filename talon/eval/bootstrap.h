// Confidence intervals for acceptance lengths by the bootstrap over prompts. Prompts are the unit
// that is resampled, since rounds of one prompt depend on each other; they are resampled within
// their category, since the number of prompts of a category is the data set's choice; and a
// prompt's counts under both drafters stay together (paired), since both drafted for the same
// answer. Intervals are BCa (Efron 1987; several samples as in Davison and Hinkley 1997, 5.3.2).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "talon/eval/acceptance.h"

namespace talon {

struct BootstrapOptions {
  int64_t resamples = 10000;
  double confidence = 0.95;
  uint64_t seed = 20250601;
};

struct Interval {
  double estimate = 0;
  double standard_error = 0;
  double low = 0;
  double high = 0;
};

// Acceptance length 1 + accepted / drafts over all rounds.
Interval LengthInterval(std::span<const PromptRounds> prompts, const BootstrapOptions& options);

// Length of `other` minus length of `base`; both hold the same prompts in the same order.
Interval DifferenceInterval(std::span<const PromptRounds> base, std::span<const PromptRounds> other,
                            const BootstrapOptions& options);

// The true difference that a two-sided test at 5 % finds with 80 % probability:
// (z_0.975 + z_0.8) * s.e. = 2.80 * s.e.
double SmallestDetectableDifference(double standard_error);

// Inverse of the standard normal distribution function; infinite at 0 and 1.
double NormalQuantile(double probability);

}  // namespace talon
