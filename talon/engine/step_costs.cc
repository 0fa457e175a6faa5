#include "talon/engine/step_costs.h"

#include <algorithm>
#include <chrono>
#include <functional>

#include "talon/base/error.h"
#include "talon/engine/batch_builder.h"
#include "talon/engine/draft_runner.h"
#include "talon/engine/token_chooser.h"

namespace talon {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kBudgetMs = 1000.0;  // for all curves together
constexpr int kRepetitions = 3;       // the fastest counts
constexpr int kStepsAtOnce = 4;       // of the drafter on its own states

double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// 1, 2, 3, 4, 6, 8, 12, 16, ..., most.
std::vector<int64_t> RowCounts(int64_t most) {
  std::vector<int64_t> counts = {1};
  for (int64_t power = 2; power <= most; power *= 2) {
    counts.push_back(power);
    if (power / 2 * 3 <= most) counts.push_back(power / 2 * 3);
  }
  if (counts.back() != most) counts.push_back(most);
  return counts;
}

// The parts of a step over rows of one sequence.
class StepParts {
 public:
  StepParts(const GemmaModel& verifier, const Drafter& drafter, KvPool& pool, int64_t rows)
      : verifier_(verifier),
        drafter_(drafter),
        pool_(pool),
        runner_(verifier.backend(), drafter),
        arena_(verifier.backend()),
        tokens_(static_cast<size_t>(rows), 0) {
    CheckInternal(pool_.Extend(pages_, rows, rows), "one sequence fits the KV pool");
  }
  ~StepParts() { pool_.Release(pages_); }
  StepParts(const StepParts&) = delete;
  StepParts& operator=(const StepParts&) = delete;

  void Verify(int64_t rows) {
    arena_.Reset();
    BatchBuilder builder;
    builder.Add(Tokens(rows), 0, pages_);
    const ForwardBatch batch = builder.Upload(verifier_.backend(), arena_);
    VerifierCapture capture;
    capture.aux_layer_ids = drafter_.aux_layer_ids();
    capture.aux = Features(rows);
    const Tensor hidden = verifier_.Forward(batch, pool_.verifier_layers(), capture, arena_);
    std::vector<ChoiceRow> choices(static_cast<size_t>(rows));
    for (size_t i = 0; i < choices.size(); ++i) choices[i].hidden_row = static_cast<int32_t>(i);
    TokenChooser(verifier_).Choose(hidden, choices, {}, arena_);
  }

  void DraftPass(int64_t rows) {
    arena_.Reset();
    DraftInput input;
    input.pages = &pages_;
    input.successors = Tokens(rows);
    runner_.Run({&input, 1}, Features(rows), pool_.drafter_layer(), arena_);
    verifier_.backend().Synchronize();
  }

  // A choice from given states, then `drafts` - 1 passes with a choice each.
  void Drafts(int64_t sequences, int64_t drafts) {
    arena_.Reset();
    const std::vector<DraftStart> starts(static_cast<size_t>(sequences), {&pages_, 0, drafts});
    runner_.Continue(arena_.Take(sequences, drafter_.hidden_size(), verifier_.options().dtype),
                     starts, pool_.drafter_layer(), arena_);
  }

 private:
  std::span<const int32_t> Tokens(int64_t rows) const {
    return std::span(tokens_).first(static_cast<size_t>(rows));
  }
  Tensor Features(int64_t rows) {
    return arena_.Take(rows, drafter_.feature_size(), verifier_.options().dtype);
  }

  const GemmaModel& verifier_;
  const Drafter& drafter_;
  KvPool& pool_;
  DraftRunner runner_;
  Arena arena_;
  std::vector<int32_t> tokens_;
  SequencePages pages_;
};

double FastestMs(const std::function<void()>& run) {
  double best_ms = 0.0;
  for (int i = 0; i < kRepetitions; ++i) {
    const Clock::time_point begin = Clock::now();
    run();
    const double ms = MsSince(begin);
    best_ms = i == 0 ? ms : std::min(best_ms, ms);
  }
  return best_ms;
}

// `cost_ms` of 1, 2, 3, ... rows, as far as the budget lasts.
CostCurve Measure(const std::function<double(int64_t)>& cost_ms, int64_t most, double budget_ms) {
  std::vector<std::pair<int64_t, double>> points;
  const Clock::time_point start = Clock::now();
  cost_ms(1);  // touches memory, fills caches
  for (const int64_t rows : RowCounts(most)) {
    points.emplace_back(rows, cost_ms(rows));
    if (MsSince(start) > budget_ms && points.size() > 1) break;
  }
  return CostCurve(points);
}

}  // namespace

CostCurve::CostCurve(const std::vector<std::pair<int64_t, double>>& points) {
  if (points.empty()) return;
  ms_.assign(static_cast<size_t>(points.front().first) + 1, points.front().second);
  for (const auto& [rows, ms] : points) {
    const auto from = static_cast<int64_t>(ms_.size()) - 1;
    if (rows <= from) continue;
    slope_ms_ = std::max(0.0, ms - ms_.back()) / static_cast<double>(rows - from);
    const double from_ms = ms_.back();
    for (int64_t row = from + 1; row <= rows; ++row) {
      ms_.push_back(from_ms + slope_ms_ * static_cast<double>(row - from));
    }
  }
}

StepCosts MeasureStepCosts(const GemmaModel& verifier, const Drafter& drafter, KvPool& pool,
                           int64_t max_num_seqs, int64_t max_drafts) {
  const int64_t most = std::min(
      {max_num_seqs * (1 + max_drafts), verifier.config().max_position_embeddings,
       pool.sliding().num_pages() * kKvPageTokens, pool.global().num_pages() * kKvPageTokens});
  StepParts parts(verifier, drafter, pool, most);
  const auto timed = [](auto run) {
    return [run](int64_t rows) { return FastestMs([&] { run(rows); }); };
  };
  const int64_t sequences = std::min(max_num_seqs, most);
  StepCosts costs;
  costs.verify = Measure(timed([&](int64_t rows) { parts.Verify(rows); }), most, 0.5 * kBudgetMs);
  costs.draft_pass =
      Measure(timed([&](int64_t rows) { parts.DraftPass(rows); }), most, 0.2 * kBudgetMs);
  costs.first_drafts =
      Measure(timed([&](int64_t count) { parts.Drafts(count, 1); }), sequences, 0.1 * kBudgetMs);
  const auto step_ms = [&](int64_t count) {
    const double all_ms = FastestMs([&] { parts.Drafts(count, 1 + kStepsAtOnce); });
    return std::max(0.0, all_ms - costs.first_drafts.At(count)) / kStepsAtOnce;
  };
  costs.draft_step = Measure(step_ms, sequences, 0.2 * kBudgetMs);
  return costs;
}

}  // namespace talon
