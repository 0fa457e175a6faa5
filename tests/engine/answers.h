// Runs requests through an engine of their own, and what tests look at in the results.
#pragma once

#include <cstdint>
#include <vector>

#include "talon/engine/engine.h"

namespace talon::test {

// `drafter` and `counters` may be null.
std::vector<GenerationResult> Answer(const GemmaModel& verifier, const Drafter* drafter,
                                     const EngineOptions& options,
                                     std::vector<GenerationRequest> requests,
                                     EngineCounters* counters = nullptr);

std::vector<std::vector<int32_t>> Texts(const std::vector<GenerationResult>& results);
// Drafts that were accepted, over all results.
int64_t AcceptedDrafts(const std::vector<GenerationResult>& results);

// The verifier's logits after every token of a text, [tokens][vocab], without the engine's rounds.
std::vector<std::vector<float>> LogitsOf(const GemmaModel& model,
                                         const std::vector<int32_t>& tokens);

}  // namespace talon::test
