// How fast requests leave the server, from the last ones that did: what Retry-After is made of.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

namespace talon {

class DrainRate {
 public:
  using Clock = std::chrono::steady_clock;

  void CountFinished(Clock::time_point now);
  // Seconds, at least 1 and at most kMaxRetryAfterS, until `excess` more requests have left.
  int RetryAfterS(int64_t excess, Clock::time_point now) const;

  static constexpr int kMaxRetryAfterS = 120;

 private:
  static constexpr size_t kWindow = 32;
  std::deque<Clock::time_point> finished_;  // the last kWindow, oldest first
};

}  // namespace talon
