// The noise of sampling, shared by all backends: one Gumbel variate per (seed, position, token), by
// a counter alone, so that no order of evaluation, batch or draft can change it.
//
// The token-th output of SplitMix64 (Steele, Lea, Flood 2014) whose state starts at
// Mix(Mix(seed + golden) + position) gives 52 bits of u in (0, 1); the noise is -log(-log(u)).
#pragma once

#include <cmath>
#include <cstdint>

namespace talon {

inline constexpr uint64_t kGoldenGamma = 0x9E3779B97F4A7C15ull;

// SplitMix64's finalizer: a bijection in which every input bit moves half of the output bits.
constexpr uint64_t MixBits(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

// The generator's state for one row.
constexpr uint64_t GumbelState(uint64_t seed, int64_t position) {
  return MixBits(MixBits(seed + kGoldenGamma) + static_cast<uint64_t>(position));
}

constexpr uint64_t GumbelBits(uint64_t state, int64_t token) {
  return MixBits(state + static_cast<uint64_t>(token + 1) * kGoldenGamma);
}

// At most 36.8, at least -3.7.
inline double GumbelNoise(uint64_t bits) {
  const double u = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
  return -std::log(-std::log(u));
}

}  // namespace talon
