// Acceptance statistics from per-round records, with the definitions of vLLM's counters
// (specs/eagle3.md 3.7): a round counts as one draft when it had at least one draft token; position
// i counts the rounds that accepted more than i; drafts accepted beyond a stop token count too. A
// round is the engine's Round: the drafts that were verified and how many leading ones were
// accepted.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "talon/engine/request.h"

namespace talon {

// All rounds of one prompt under one drafter.
struct PromptRounds {
  std::string id;
  std::string category;
  std::vector<Round> rounds;
};

// Sums over rounds.
struct AcceptanceCounts {
  int64_t drafts = 0;  // rounds with at least one draft token
  int64_t draft_tokens = 0;
  int64_t accepted = 0;
  std::vector<int64_t> accepted_at;  // [k] rounds that accepted more than i drafts

  void Add(const Round& round);
  void Add(std::span<const Round> rounds);
  void Add(const AcceptanceCounts& other);

  // 1 + accepted / drafts; 1 when nothing was drafted.
  double Length() const;
  // Share of rounds that accepted more than `position` drafts (0-based).
  double PositionRate(size_t position) const;
};

AcceptanceCounts CountRounds(std::span<const PromptRounds> prompts);

// Mean over requests of 1 + accepted / drafts of each; requests without a draft are left out.
struct RequestMean {
  double length = 1.0;
  int64_t requests = 0;  // that had at least one draft
};
RequestMean MeanOfRequestMeans(std::span<const PromptRounds> prompts);

}  // namespace talon
