// What the parts of a decoding step cost, as functions of how many rows they have. Measured once,
// when the engine is made.
#pragma once

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
  explicit CostCurve(std::vector<std::pair<int64_t, double>> points);
  // 0 for no rows, or when there are no points.
  double At(int64_t rows) const;
  const std::vector<std::pair<int64_t, double>>& points() const { return points_; }

 private:
  std::vector<std::pair<int64_t, double>> points_;
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
