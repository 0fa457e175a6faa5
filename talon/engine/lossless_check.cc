#include "talon/engine/lossless_check.h"

#include <algorithm>

namespace talon {
namespace {

constexpr int64_t kShortTokens = 4;  // prompt and answer of a request in between

int32_t TokenAt(const std::vector<int32_t>& tokens, size_t position) {
  return position < tokens.size() ? tokens[position] : -1;
}

}  // namespace

LosslessOutcome LosslessCheck::Run(Engine& engine, const LosslessPasses& passes,
                                   const OnTokens& on_tokens) const {
  LosslessOutcome outcome;
  const EngineCounters before = engine.counters();
  for (int pass = 0; pass < passes.count; ++pass) {
    if (pass > 0) AnswerShortRequests(engine, passes.requests_between);
    Compare(engine.Generate(requests_,
                            [&](const StepOutput& output) {
                              if (on_tokens) on_tokens(std::ssize(output.tokens));
                            }),
            pass, outcome);
  }
  outcome.preemptions = engine.counters().preemptions - before.preemptions;
  return outcome;
}

void LosslessCheck::Compare(const std::vector<GenerationResult>& actual, int pass,
                            LosslessOutcome& outcome) const {
  for (size_t i = 0; i < actual.size(); ++i) {
    const GenerationResult& result = actual[i];
    ++outcome.requests;
    outcome.tokens += std::ssize(result.tokens);
    outcome.cached_tokens += result.num_cached_tokens;
    for (const Round& round : result.rounds) outcome.accepted_drafts += round.accepted;
    const std::vector<int32_t>& expected = expected_[i].tokens;
    if (result.tokens == expected) continue;
    const auto [at, unused] =
        std::mismatch(expected.begin(), expected.end(), result.tokens.begin(), result.tokens.end());
    const auto position = static_cast<size_t>(at - expected.begin());
    outcome.divergences.push_back(
        {i, pass, position, TokenAt(expected, position), TokenAt(result.tokens, position)});
  }
}

// The beginnings of the real ones, so that they are met by every part of the engine.
void LosslessCheck::AnswerShortRequests(Engine& engine, int64_t count) const {
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < count; ++i) {
    GenerationRequest request = requests_[static_cast<size_t>(i) % requests_.size()];
    request.prompt_ids.resize(
        std::min<size_t>(request.prompt_ids.size(), static_cast<size_t>(kShortTokens)));
    request.max_tokens = kShortTokens;
    requests.push_back(std::move(request));
  }
  engine.Generate(std::move(requests));
}

}  // namespace talon
