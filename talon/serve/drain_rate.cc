#include "talon/serve/drain_rate.h"

#include <algorithm>
#include <cmath>

namespace talon {

void DrainRate::CountFinished(Clock::time_point now) {
  finished_.push_back(now);
  if (finished_.size() > kWindow) finished_.pop_front();
}

int DrainRate::RetryAfterS(int64_t excess, Clock::time_point now) const {
  if (finished_.size() < 2) return 1;
  // Up to now, not up to the last one: a server that got stuck must not look fast.
  const double window_s = std::chrono::duration<double>(now - finished_.front()).count();
  const double per_request_s = window_s / static_cast<double>(finished_.size() - 1);
  const double wait_s = std::ceil(per_request_s * static_cast<double>(excess));
  return static_cast<int>(std::clamp(wait_s, 1.0, double{kMaxRetryAfterS}));
}

}  // namespace talon
