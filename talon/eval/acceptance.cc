#include "talon/eval/acceptance.h"

#include <algorithm>

namespace talon {

void AcceptanceCounts::Add(const Round& round) {
  const size_t width = round.drafts.size();
  if (width == 0) return;
  ++drafts;
  draft_tokens += static_cast<int64_t>(width);
  accepted += round.accepted;
  if (accepted_at.size() < width) accepted_at.resize(width, 0);
  for (int64_t i = 0; i < round.accepted; ++i) ++accepted_at[static_cast<size_t>(i)];
}

void AcceptanceCounts::Add(std::span<const Round> rounds) {
  for (const Round& round : rounds) Add(round);
}

void AcceptanceCounts::Add(const AcceptanceCounts& other) {
  drafts += other.drafts;
  draft_tokens += other.draft_tokens;
  accepted += other.accepted;
  accepted_at.resize(std::max(accepted_at.size(), other.accepted_at.size()), 0);
  for (size_t i = 0; i < other.accepted_at.size(); ++i) accepted_at[i] += other.accepted_at[i];
}

double AcceptanceCounts::Length() const {
  return 1.0 + static_cast<double>(accepted) / static_cast<double>(std::max<int64_t>(drafts, 1));
}

double AcceptanceCounts::PositionRate(size_t position) const {
  if (position >= accepted_at.size() || drafts == 0) return 0.0;
  return static_cast<double>(accepted_at[position]) / static_cast<double>(drafts);
}

AcceptanceCounts CountRounds(std::span<const PromptRounds> prompts) {
  AcceptanceCounts counts;
  for (const PromptRounds& prompt : prompts) counts.Add(prompt.rounds);
  return counts;
}

RequestMean MeanOfRequestMeans(std::span<const PromptRounds> prompts) {
  double sum = 0;
  RequestMean mean;
  for (const PromptRounds& prompt : prompts) {
    AcceptanceCounts counts;
    counts.Add(prompt.rounds);
    if (counts.drafts == 0) continue;
    sum += counts.Length();
    ++mean.requests;
  }
  if (mean.requests > 0) mean.length = sum / static_cast<double>(mean.requests);
  return mean;
}

}  // namespace talon
