// What the parts of a decoding step cost, as functions of how many rows they have. Measured once,
// when the engine is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace talon {

class Arena;
class Drafter;
class GemmaModel;
class KvPool;

// Milliseconds by rows: straight lines between points, the last line goes on.
class CostCurve {
 public:
  CostCurve() = default;
  // Ascending rows. Later costs below earlier ones, which is noise, are raised to them.
  explicit CostCurve(const std::vector<std::pair<int64_t, double>>& points);
  // 0 for no rows, or when there are no points.
  double At(int64_t rows) const {
    if (rows <= 0 || ms_.empty()) return 0.0;
    const auto last = static_cast<int64_t>(ms_.size()) - 1;
    if (rows <= last) return ms_[static_cast<size_t>(rows)];
    return ms_.back() + slope_ms_ * static_cast<double>(rows - last);
  }

 private:
  std::vector<double> ms_;  // [rows], up to the last point
  double slope_ms_ = 0.0;   // a row, beyond it
};

struct StepCosts {
  CostCurve verify;        // the verifier's forward and the choice of tokens, by rows
  CostCurve draft_pass;    // the drafter's pass over rows with true features, by rows
  CostCurve first_drafts;  // the choice of each sequence's first draft, by sequences
  CostCurve draft_step;    // a pass on its own states and the next choice, by sequences
};

// Runs each part with 1, 2, 3, 4, 6, 8, ... rows, up to `max_num_seqs` * (1 + `max_drafts`), on
// pages of `pool` that are free afterwards. The sizes that a second does not suffice for are
// extrapolated.
StepCosts MeasureStepCosts(const GemmaModel& verifier, const Drafter& drafter, KvPool& pool,
                           int64_t max_num_seqs, int64_t max_drafts);

}  // namespace talon
