#include "tests/engine/answers.h"

#include <utility>

#include "talon/engine/feature_extractor.h"

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

std::vector<std::vector<float>> LogitsOf(const GemmaModel& model,
                                         const std::vector<int32_t>& tokens) {
  const auto count = static_cast<int64_t>(tokens.size());
  FeatureExtractor extractor(model, {model.config().num_layers()}, count);
  const Tensor hidden = extractor.Run(tokens);
  std::vector<std::vector<float>> rows;
  Arena arena(model.backend());
  const int64_t vocab = model.config().vocab_size;
  for (int64_t i = 0; i < count; ++i) {
    const Arena::Scope scope(arena);
    const Tensor logits = arena.Take(1, vocab, DType::kF32);
    model.Logits(hidden.Rows(i, 1), logits, arena);
    std::vector<float>& row = rows.emplace_back(static_cast<size_t>(vocab));
    model.backend().Download(logits.data, vocab * SizeOf(DType::kF32), row.data());
  }
  return rows;
}

}  // namespace talon::test
