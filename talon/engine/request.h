// What a caller asks of the engine and what comes back.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace talon {

struct SamplingParams {
  double temperature = 0.0;  // 0: greedy
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0;
  double min_p = 0.0;
  uint64_t seed = 0;
};

struct GenerationRequest {
  std::vector<int32_t> prompt_ids;  // BOS included
  SamplingParams sampling;
  int64_t max_tokens = 16;
  std::vector<int32_t> stop_token_ids;  // end the answer; the stop token itself is part of it
  // Drafts per round; -1 takes the engine's number.
  int64_t num_speculative_tokens = -1;
};

enum class FinishReason : uint8_t { kNone, kStop, kLength };
std::string_view Name(FinishReason reason);

// One verification of drafts. Counted before stop conditions cut the answer (specs/eagle3.md 3.7).
struct Round {
  std::vector<int32_t> drafts;
  int64_t accepted = 0;
};

// What one request gained in one step.
struct StepOutput {
  int64_t request_id = 0;
  std::vector<int32_t> tokens;
  bool has_round = false;
  Round round;
  FinishReason finish_reason = FinishReason::kNone;
};

// A whole answer, as Engine::Generate returns it.
struct GenerationResult {
  std::vector<int32_t> tokens;
  std::vector<Round> rounds;
  FinishReason finish_reason = FinishReason::kNone;
};

}  // namespace talon
