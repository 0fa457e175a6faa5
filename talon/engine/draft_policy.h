// How many drafts each sequence gets in the next step: a fixed number, a number by batch size, or
// the numbers that promise the most tokens per second. The promise of a plan is the sum of
// 1 + p1 + p1 p2 + ... over its sequences (p_i: the chance that draft i is accepted when those
// before it were) divided by the plan's cost. Chances come from the sequence's rounds and, as far
// as these are few, from all sequences' rounds; costs are measured. So that there is something to
// go by, every sequence begins with a draft. Text never depends on the plan.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "talon/engine/step_costs.h"

namespace talon {

struct DraftPolicyOptions {
  int64_t max_drafts = 0;              // k, or the most that a plan gives
  std::vector<int64_t> by_batch_size;  // [batch size - 1], the last for larger ones; else empty
  bool automatic = false;              // needs costs
  StepCosts costs;
};

// A sequence that decodes in the next step.
struct DraftCandidate {
  int64_t sequence = 0;
  int64_t most = 0;          // drafts that there is room for
  int64_t pending_rows = 0;  // rows that the drafter has to read before it can draft
};

// Chances of acceptance by position, from counts that fade.
class AcceptanceEstimate {
 public:
  explicit AcceptanceEstimate(int64_t max_drafts)
      : tried_(static_cast<size_t>(max_drafts)), accepted_(static_cast<size_t>(max_drafts)) {}

  // A round verified `drafts` drafts, of which the first `accepted` were right.
  void Count(int64_t drafts, int64_t accepted);
  // The chance of position `i` (from 0), as if kPriorRounds rounds had gone as `prior` says.
  double At(size_t i, double prior) const {
    return (accepted_[i] + kPriorRounds * prior) / (tried_[i] + kPriorRounds);
  }

  static constexpr double kPriorRounds = 4.0;
  static constexpr double kFading = 0.98;  // of the counts, by every round that reaches a position

 private:
  std::vector<double> tried_;     // [max_drafts]
  std::vector<double> accepted_;  // [max_drafts]
};

class DraftPolicy {
 public:
  explicit DraftPolicy(DraftPolicyOptions options);

  // Drafts for each candidate, at most its `most`. `other_rows`: rows of prompts in the step.
  std::vector<int64_t> Plan(std::span<const DraftCandidate> candidates, int64_t other_rows);

  // What happened; only an automatic policy learns from it.
  void CountRound(int64_t sequence, int64_t drafts, int64_t accepted);
  // The verifier's part of a step, and the drafter's part after it, in milliseconds.
  void CountVerifyTime(int64_t rows, double ms);
  void CountDraftTime(int64_t pass_rows, std::span<const int64_t> drafts, double ms);
  void Forget(int64_t sequence) { sequences_.erase(sequence); }

  // Whether the drafter should read `rows` rows of one of `decoding` sequences, for which no drafts
  // are wanted now, so that there can be drafts later: when that takes little time beside the
  // verifier's for as many tokens.
  bool WorthKeepingUp(int64_t rows, int64_t decoding) const;
  // The expected tokens per millisecond of a plan.
  double Rate(std::span<const DraftCandidate> candidates, std::span<const int64_t> drafts,
              int64_t other_rows) const;
  // The expected share of rounds in which drafts 1 .. `position` are all accepted.
  double Reach(int64_t sequence, int64_t position) const;

  static constexpr double kFirstGuess = 0.6;  // chance of acceptance before any round
  // A new plan promises this much more than the last one, and one with drafts than one without.
  static constexpr double kHysteresis = 0.03;
  static constexpr int64_t kProbeRounds = 64;   // a sequence without drafts gets one after as many
  static constexpr double kKeepUpShare = 0.01;  // of the verifier's time

 private:
  struct SequenceState {
    AcceptanceEstimate estimate;
    int64_t drafts = -1;  // of the last plan; -1: none yet
    int64_t idle_rounds = 0;
  };
  struct Outlook;
  SequenceState& StateOf(int64_t sequence);
  Outlook WithoutDrafts(size_t candidates, int64_t other_rows) const;
  // The next draft of a sequence, its `position`-th (from 1).
  void AddDraft(int64_t position, int64_t pending_rows, double reach, Outlook& outlook) const;
  double Rate(const Outlook& outlook) const;
  std::vector<int64_t> BestPlan(std::span<const DraftCandidate> candidates,
                                int64_t other_rows) const;
  std::vector<int64_t> LastPlan(std::span<const DraftCandidate> candidates,
                                std::span<const int64_t> otherwise) const;
  void Probe(std::span<const DraftCandidate> candidates, std::vector<int64_t>& plan);

  DraftPolicyOptions options_;
  AcceptanceEstimate all_;  // over all sequences
  std::map<int64_t, SequenceState> sequences_;
  double verify_factor_ = 1.0;  // measured / expected, lately
  double draft_factor_ = 1.0;
};

}  // namespace talon
