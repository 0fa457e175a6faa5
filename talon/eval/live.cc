#include "talon/eval/live.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "talon/base/progress.h"
#include "talon/engine/engine.h"
#include "talon/eval/kv_limit.h"

namespace talon {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

GenerationRequest MakeRequest(const Trace& trace, const TraceManifest& manifest) {
  GenerationRequest request;
  request.prompt_ids.assign(trace.prompt().begin(), trace.prompt().end());
  request.max_tokens = manifest.max_tokens;
  request.stop_token_ids = manifest.stop_token_ids;
  return request;
}

std::string Text(const Round& round) {
  return fmt::format("drafts [{}], {} accepted", fmt::join(round.drafts, " "), round.accepted);
}

// The first round that differs; empty when all are equal.
std::string RoundDifference(const std::vector<Round>& live, const std::vector<Round>& replayed) {
  for (size_t i = 0; i < std::min(live.size(), replayed.size()); ++i) {
    if (live[i].drafts == replayed[i].drafts && live[i].accepted == replayed[i].accepted) continue;
    return fmt::format("round {}: live {}; replay {}", i + 1, Text(live[i]), Text(replayed[i]));
  }
  if (live.size() == replayed.size()) return "";
  return fmt::format("{} rounds live, {} in the replay", live.size(), replayed.size());
}

}  // namespace

LiveRun DecodeLive(const GemmaModel& verifier, const Drafter* drafter, const TraceStore& store,
                   std::span<const TraceKey> keys, const LiveOptions& options) {
  EngineOptions engine_options;
  engine_options.max_num_seqs = options.max_num_seqs;
  engine_options.max_model_len = options.max_positions;
  engine_options.num_speculative_tokens = options.num_speculative_tokens;
  engine_options.kv_dtype = store.manifest().dtype;
  engine_options.kv_cache_bytes = EvalKvBytes(verifier.config(), drafter, engine_options);
  Engine engine(verifier, drafter, engine_options);
  Progress progress("decoding", std::ssize(keys), "prompts");
  LiveRun run;
  const Clock::time_point start = Clock::now();
  // Groups as large as the batch, so that one at a time is timed from its own submission.
  for (size_t begin = 0; begin < keys.size();) {
    const size_t group = options.max_num_seqs == 1 ? 1 : keys.size();
    const size_t count = std::min(group, keys.size() - begin);
    std::vector<GenerationRequest> requests;
    for (const TraceKey& key : keys.subspan(begin, count)) {
      requests.push_back(MakeRequest(store.Read(key), store.manifest()));
    }
    double first_token_seconds = -1;
    const Clock::time_point group_start = Clock::now();
    const auto on_output = [&](const StepOutput& output) {
      if (first_token_seconds < 0) first_token_seconds = SecondsSince(group_start);
      if (output.finish_reason != FinishReason::kNone) progress.Advance();
    };
    for (GenerationResult& result : engine.Generate(std::move(requests), on_output)) {
      run.answers.push_back({std::move(result.tokens), std::move(result.rounds),
                             first_token_seconds, SecondsSince(group_start)});
    }
    begin += count;
  }
  run.seconds = SecondsSince(start);
  return run;
}

std::vector<std::string> LiveDifferences(const LiveRun& run, const TraceStore& store,
                                         std::span<const TraceKey> keys,
                                         std::span<const std::vector<Round>> replayed) {
  std::vector<std::string> differences;
  for (size_t i = 0; i < keys.size(); ++i) {
    const LiveAnswer& live = run.answers[i];
    const Trace trace = store.Read(keys[i]);
    const auto [a, b] = std::mismatch(live.tokens.begin(), live.tokens.end(),
                                      trace.answer().begin(), trace.answer().end());
    if (a != live.tokens.end() || b != trace.answer().end()) {
      differences.push_back(fmt::format("{}: text differs from answer token {} on", trace.id,
                                        a - live.tokens.begin()));
      continue;
    }
    if (replayed.empty()) continue;
    const std::string difference = RoundDifference(live.rounds, replayed[i]);
    if (!difference.empty()) differences.push_back(fmt::format("{}: {}", trace.id, difference));
  }
  return differences;
}

}  // namespace talon
