#include "talon/engine/draft_policy.h"

#include <algorithm>
#include <utility>

namespace talon {
namespace {

constexpr double kSmoothing = 0.05;  // weight of the newest time
constexpr double kMostFactor = 8.0;  // a stalled step says nothing about the next

void Learn(double expected_ms, double measured_ms, double& factor) {
  if (expected_ms <= 0.0) return;
  const double ratio = std::clamp(measured_ms / expected_ms, 1.0 / kMostFactor, kMostFactor);
  factor += kSmoothing * (ratio - factor);
}

}  // namespace

// What a plan promises and needs, summed up draft by draft.
struct DraftPolicy::Outlook {
  double tokens = 0.0;
  int64_t rows = 0;              // of the verifier
  int64_t pass_rows = 0;         // of the drafter's first pass
  double drafts_ms = 0.0;        // of the drafter's choices and further passes
  std::vector<int64_t> by_step;  // [max_drafts] sequences with more than j drafts
};

void AcceptanceEstimate::Count(int64_t drafts, int64_t accepted) {
  for (int64_t i = 0; i < std::min(drafts, accepted + 1); ++i) {
    const auto at = static_cast<size_t>(i);
    tried_[at] = kFading * tried_[at] + 1.0;
    accepted_[at] = kFading * accepted_[at] + (i < accepted ? 1.0 : 0.0);
  }
}

DraftPolicy::DraftPolicy(DraftPolicyOptions options)
    : options_(std::move(options)), all_(options_.max_drafts) {}

DraftPolicy::SequenceState& DraftPolicy::StateOf(int64_t sequence) {
  const AcceptanceEstimate fresh(options_.max_drafts);
  return sequences_.try_emplace(sequence, SequenceState{fresh, -1, 0}).first->second;
}

void DraftPolicy::CountRound(int64_t sequence, int64_t drafts, int64_t accepted) {
  if (!options_.automatic || drafts == 0) return;
  all_.Count(drafts, accepted);
  StateOf(sequence).estimate.Count(drafts, accepted);
}

double DraftPolicy::Reach(int64_t sequence, int64_t position) const {
  const auto state = sequences_.find(sequence);
  double reach = 1.0;
  double guess = kFirstGuess;  // an untried position is as good as the one before it
  for (int64_t i = 0; i < position; ++i) {
    const auto at = static_cast<size_t>(i);
    guess = all_.At(at, guess);
    reach *= state == sequences_.end() ? guess : state->second.estimate.At(at, guess);
  }
  return reach;
}

DraftPolicy::Outlook DraftPolicy::WithoutDrafts(size_t candidates, int64_t other_rows) const {
  Outlook outlook;
  outlook.tokens = static_cast<double>(candidates);
  outlook.rows = static_cast<int64_t>(candidates) + other_rows;
  outlook.by_step.resize(static_cast<size_t>(options_.max_drafts));
  return outlook;
}

void DraftPolicy::AddDraft(int64_t position, int64_t pending_rows, double reach,
                           Outlook& outlook) const {
  outlook.tokens += reach;
  ++outlook.rows;
  if (position == 1) outlook.pass_rows += pending_rows;
  const CostCurve& cost = position == 1 ? options_.costs.first_drafts : options_.costs.draft_step;
  int64_t& sequences = outlook.by_step[static_cast<size_t>(position) - 1];
  outlook.drafts_ms -= cost.At(sequences);
  outlook.drafts_ms += cost.At(++sequences);
}

double DraftPolicy::Rate(const Outlook& outlook) const {
  const double ms =
      verify_factor_ * options_.costs.verify.At(outlook.rows) +
      draft_factor_ * (options_.costs.draft_pass.At(outlook.pass_rows) + outlook.drafts_ms);
  return ms > 0.0 ? outlook.tokens / ms : 0.0;
}

double DraftPolicy::Rate(std::span<const DraftCandidate> candidates,
                         std::span<const int64_t> drafts, int64_t other_rows) const {
  Outlook outlook = WithoutDrafts(candidates.size(), other_rows);
  for (size_t i = 0; i < candidates.size(); ++i) {
    for (int64_t position = 1; position <= drafts[i]; ++position) {
      AddDraft(position, candidates[i].pending_rows, Reach(candidates[i].sequence, position),
               outlook);
    }
  }
  return Rate(outlook);
}

// For every depth, drafts up to it are added one by one, the likeliest first; the best of all plans
// on the way is taken.
std::vector<int64_t> DraftPolicy::BestPlan(std::span<const DraftCandidate> candidates,
                                           int64_t other_rows) const {
  struct Draft {
    double reach;
    int64_t position;
    size_t candidate;
  };
  std::vector<Draft> order;
  int64_t deepest = 0;
  for (size_t i = 0; i < candidates.size(); ++i) {
    deepest = std::max(deepest, candidates[i].most);
    for (int64_t position = 1; position <= candidates[i].most; ++position) {
      order.push_back({Reach(candidates[i].sequence, position), position, i});
    }
  }
  std::stable_sort(order.begin(), order.end(), [](const Draft& a, const Draft& b) {
    return a.reach != b.reach ? a.reach > b.reach : a.position < b.position;
  });
  const Outlook none = WithoutDrafts(candidates.size(), other_rows);
  double best_rate = (1.0 + kHysteresis) * Rate(none);
  int64_t best_depth = 0;
  size_t best_end = 0;  // drafts of `order` that were looked at for the best plan
  for (int64_t depth = 1; depth <= deepest; ++depth) {
    Outlook outlook = none;
    for (size_t i = 0; i < order.size(); ++i) {
      if (order[i].position > depth) continue;
      AddDraft(order[i].position, candidates[order[i].candidate].pending_rows, order[i].reach,
               outlook);
      const double rate = Rate(outlook);
      if (rate <= best_rate) continue;
      best_rate = rate;
      best_depth = depth;
      best_end = i + 1;
    }
  }
  std::vector<int64_t> plan(candidates.size(), 0);
  for (size_t i = 0; i < best_end; ++i) {
    if (order[i].position <= best_depth) ++plan[order[i].candidate];
  }
  return plan;
}

// As many drafts as last time; sequences that had no plan yet get what `otherwise` says.
std::vector<int64_t> DraftPolicy::LastPlan(std::span<const DraftCandidate> candidates,
                                           std::span<const int64_t> otherwise) const {
  std::vector<int64_t> plan;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const auto state = sequences_.find(candidates[i].sequence);
    const bool known = state != sequences_.end() && state->second.drafts >= 0;
    plan.push_back(known ? std::min(state->second.drafts, candidates[i].most) : otherwise[i]);
  }
  return plan;
}

bool DraftPolicy::WorthKeepingUp(int64_t rows, int64_t decoding) const {
  if (!options_.automatic) return true;
  const double verify_ms = verify_factor_ * options_.costs.verify.At(decoding) *
                           static_cast<double>(rows) / static_cast<double>(decoding);
  return draft_factor_ * options_.costs.draft_pass.At(rows) <= kKeepUpShare * verify_ms;
}

// Without drafts nothing is learned; a draft now and then shows when the text has become easier.
void DraftPolicy::Probe(std::span<const DraftCandidate> candidates, std::vector<int64_t>& plan) {
  for (size_t i = 0; i < candidates.size(); ++i) {
    SequenceState& state = StateOf(candidates[i].sequence);
    const bool first = state.drafts < 0;
    state.drafts = plan[i];
    state.idle_rounds = plan[i] > 0 ? 0 : state.idle_rounds + 1;
    if (plan[i] > 0 || candidates[i].most == 0) continue;
    const bool due =
        state.idle_rounds >= kProbeRounds &&
        WorthKeepingUp(candidates[i].pending_rows, static_cast<int64_t>(candidates.size()));
    if (!first && !due) continue;
    state.idle_rounds = 0;
    plan[i] = 1;
  }
}

std::vector<int64_t> DraftPolicy::Plan(std::span<const DraftCandidate> candidates,
                                       int64_t other_rows) {
  std::vector<int64_t> plan;
  if (!options_.automatic) {
    const std::vector<int64_t>& table = options_.by_batch_size;
    const size_t index = std::min(candidates.size(), table.size());
    const int64_t drafts = index == 0 ? options_.max_drafts : table[index - 1];
    for (const DraftCandidate& candidate : candidates) {
      plan.push_back(std::min(drafts, candidate.most));
    }
    return plan;
  }
  const std::vector<int64_t> best = BestPlan(candidates, other_rows);
  plan = LastPlan(candidates, best);
  if (Rate(candidates, best, other_rows) >
      (1.0 + kHysteresis) * Rate(candidates, plan, other_rows)) {
    plan = best;
  }
  Probe(candidates, plan);
  return plan;
}

void DraftPolicy::CountVerifyTime(int64_t rows, double ms) {
  if (options_.automatic) Learn(options_.costs.verify.At(rows), ms, verify_factor_);
}

void DraftPolicy::CountDraftTime(int64_t pass_rows, std::span<const int64_t> drafts, double ms) {
  if (!options_.automatic) return;
  Outlook outlook = WithoutDrafts(drafts.size(), 0);
  for (const int64_t count : drafts) {
    for (int64_t position = 1; position <= count; ++position) AddDraft(position, 0, 0.0, outlook);
  }
  if (outlook.drafts_ms > 0.0) {
    Learn(options_.costs.draft_pass.At(pass_rows) + outlook.drafts_ms, ms, draft_factor_);
  }
}

}  // namespace talon
