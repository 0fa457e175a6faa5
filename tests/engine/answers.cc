#include "tests/engine/answers.h"

#include <utility>

namespace talon::test {

std::vector<GenerationResult> Answer(const GemmaModel& verifier, const Drafter* drafter,
                                     const EngineOptions& options,
                                     std::vector<GenerationRequest> requests,
                                     EngineCounters* counters) {
  Engine engine(verifier, drafter, options);
  std::vector<GenerationResult> results = engine.Generate(std::move(requests));
  if (counters != nullptr) *counters = engine.counters();
  return results;
}

std::vector<std::vector<int32_t>> Texts(const std::vector<GenerationResult>& results) {
  std::vector<std::vector<int32_t>> texts;
  for (const GenerationResult& result : results) texts.push_back(result.tokens);
  return texts;
}

int64_t AcceptedDrafts(const std::vector<GenerationResult>& results) {
  int64_t accepted = 0;
  for (const GenerationResult& result : results) {
    for (const Round& round : result.rounds) accepted += round.accepted;
  }
  return accepted;
}

}  // namespace talon::test
