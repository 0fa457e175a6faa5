#include "talon/eval/evaluation.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "talon/base/error.h"
#include "talon/base/progress.h"
#include "talon/eval/replay.h"

namespace talon {
namespace {

using Clock = std::chrono::steady_clock;

void RequireEqual(const std::vector<std::string>& differences, size_t prompts) {
  if (differences.empty()) return;
  constexpr size_t kShown = 3;
  const auto shown = std::span(differences).first(std::min(kShown, differences.size()));
  Throw(ErrorCode::kInternal,
        "decoding through the engine differs from the traces for {} of {} prompts ({}{}); traces "
        "recorded on another machine or by another version must be recorded anew",
        differences.size(), prompts, fmt::join(shown, "; "),
        differences.size() > kShown ? "; ..." : "");
}

}  // namespace

Evaluation::Evaluation(const GemmaModel& verifier, const TraceStore& store,
                       std::vector<TraceKey> keys, const EvaluationOptions& options)
    : verifier_(verifier), store_(store), keys_(std::move(keys)), options_(options) {
  std::map<std::string, int64_t> timed;
  for (const TraceKey& key : keys_) {
    const Trace trace = store_.Read(key);
    answer_tokens_ += trace.answer_tokens;
    longest_prompt_ = std::max(longest_prompt_, trace.prompt_tokens);
    if (timed[trace.category]++ < options_.timed_prompts) timed_keys_.push_back(key);
  }
}

int64_t Evaluation::PositionsNeeded(int64_t k) const {
  return std::min(options_.max_positions, longest_prompt_ + store_.manifest().max_tokens + k + 1);
}

// From the first token of each answer on: prompt processing is not decoding.
DecodeSpeeds Evaluation::SpeedsOf(const LiveRun& run) const {
  DecodeSpeeds speeds;
  for (size_t i = 0; i < timed_keys_.size(); ++i) {
    const LiveAnswer& answer = run.answers[i];
    DecodeSpeed& speed = speeds[store_.Read(timed_keys_[i]).category];
    speed.tokens += std::ssize(answer.tokens) - 1;
    speed.seconds += answer.total_seconds - answer.first_token_seconds;
  }
  return speeds;
}

DecodeSpeeds Evaluation::TimeWithoutDrafts() const {
  if (timed_keys_.empty()) return {};
  const LiveRun run = DecodeLive(verifier_, nullptr, store_, timed_keys_,
                                 {.max_num_seqs = 1, .max_positions = PositionsNeeded(0)});
  RequireEqual(LiveDifferences(run, store_, timed_keys_, {}), timed_keys_.size());
  return SpeedsOf(run);
}

std::vector<DrafterRun> Evaluation::Evaluate(const Drafter& drafter,
                                             const DrafterRun& description) const {
  std::vector<DrafterRun> runs;
  for (const int64_t k : options_.num_speculative_tokens) {
    runs.push_back(description);
    runs.back().k = k;
  }
  Replay(drafter, runs);
  for (DrafterRun& run : runs) {
    TimeWithDrafts(drafter, run);
    if (options_.live) CheckLive(drafter, run);
  }
  return runs;
}

// Drafts once for the largest k; smaller ones take the first drafts of each position.
void Evaluation::Replay(const Drafter& drafter, std::vector<DrafterRun>& runs) const {
  const Clock::time_point start = Clock::now();
  const auto& ks = options_.num_speculative_tokens;
  Replayer replayer(verifier_.backend(), drafter, store_, *std::max_element(ks.begin(), ks.end()));
  Progress progress("replaying " + runs.front().label, std::ssize(keys_), "prompts");
  for (const TraceKey& key : keys_) {
    const Trace trace = store_.Read(key);
    const DraftIds drafts = replayer.Draft(trace);
    store_.Release(key);
    for (DrafterRun& run : runs) {
      run.rounds.push_back(
          {trace.id, trace.category, WalkRounds(trace.continuation(), drafts, run.k)});
      run.every_position.push_back(
          {trace.id, trace.category, EveryPosition(trace.continuation(), drafts, run.k)});
    }
    progress.Advance();
  }
  for (DrafterRun& run : runs) {
    run.replay_seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
}

void Evaluation::TimeWithDrafts(const Drafter& drafter, DrafterRun& run) const {
  if (timed_keys_.empty()) return;
  const LiveRun live = DecodeLive(verifier_, &drafter, store_, timed_keys_,
                                  {.num_speculative_tokens = run.k,
                                   .max_num_seqs = 1,
                                   .max_positions = PositionsNeeded(run.k)});
  const auto replayed = RoundsOf(run, timed_keys_);
  RequireEqual(LiveDifferences(live, store_, timed_keys_, replayed), timed_keys_.size());
  run.speeds = SpeedsOf(live);
}

void Evaluation::CheckLive(const Drafter& drafter, DrafterRun& run) const {
  const LiveRun live = DecodeLive(verifier_, &drafter, store_, keys_,
                                  {.num_speculative_tokens = run.k,
                                   .max_num_seqs = options_.live_batch,
                                   .max_positions = PositionsNeeded(run.k)});
  const auto replayed = RoundsOf(run, keys_);
  RequireEqual(LiveDifferences(live, store_, keys_, replayed), keys_.size());
  run.live_tokens_per_second = static_cast<double>(answer_tokens_) / live.seconds;
}

std::vector<std::vector<Round>> Evaluation::RoundsOf(const DrafterRun& run,
                                                     std::span<const TraceKey> keys) const {
  std::vector<std::vector<Round>> rounds;
  for (const TraceKey& key : keys) {
    const auto place = std::lower_bound(keys_.begin(), keys_.end(), key) - keys_.begin();
    rounds.push_back(run.rounds[static_cast<size_t>(place)].rounds);
  }
  return rounds;
}

}  // namespace talon
