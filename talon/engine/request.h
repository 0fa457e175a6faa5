// What a caller asks of the engine and what comes back.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace talon {

struct SamplingParams {
  double temperature = 0.0;  // 0: greedy
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0;
  double min_p = 0.0;
  uint64_t seed = 0;
  // As in vLLM: repetition counts tokens of prompt and answer, the others those of the answer.
  double repetition_penalty = 1.0;  // above 0
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  std::vector<std::pair<int32_t, float>> logit_bias;  // each token once
  int64_t min_tokens = 0;  // stop and held-back tokens cannot be chosen before this many others
  // Likeliest tokens to report beside each token's log-probability; -1: report none. Prompt
  // log-probabilities are of its second token and later ones.
  int64_t num_logprobs = -1;
  int64_t num_prompt_logprobs = -1;
};

struct GenerationRequest {
  std::vector<int32_t> prompt_ids;  // BOS included
  SamplingParams sampling;
  int64_t max_tokens = 16;
  std::vector<int32_t> stop_token_ids;       // end the answer; the stop token itself is part of it
  std::vector<int32_t> held_back_token_ids;  // see min_tokens
  // Drafts per round; -1 takes the engine's number.
  int64_t num_speculative_tokens = -1;
  bool always_draft = false;  // this many in every round, whatever the policy says
};

enum class FinishReason : uint8_t { kNone, kStop, kLength };
std::string_view Name(FinishReason reason);

// One verification of drafts. Counted before stop conditions cut the answer (specs/eagle3.md 3.7).
struct Round {
  std::vector<int32_t> drafts;
  int64_t accepted = 0;
};

// Log-probabilities at one place of a text: log_softmax of the verifier's logits, before penalties
// and temperature (vLLM's raw_logprobs).
struct TokenLogprobs {
  float logprob = 0.0f;                        // of the token that stands there
  std::vector<std::pair<int32_t, float>> top;  // the likeliest tokens, likeliest first
};

// What one request gained in one step.
struct StepOutput {
  int64_t request_id = 0;
  std::vector<int32_t> tokens;
  std::vector<TokenLogprobs> logprobs;         // of `tokens`, when asked for
  std::vector<TokenLogprobs> prompt_logprobs;  // [prompt size - 1], with the first output
  bool has_round = false;
  Round round;
  FinishReason finish_reason = FinishReason::kNone;
  int64_t num_cached_tokens = 0;  // of the prompt, found in the prefix cache
};

// A whole answer, as Engine::Generate returns it.
struct GenerationResult {
  std::vector<int32_t> tokens;
  std::vector<TokenLogprobs> logprobs;
  std::vector<TokenLogprobs> prompt_logprobs;
  std::vector<Round> rounds;
  FinishReason finish_reason = FinishReason::kNone;
  int64_t num_cached_tokens = 0;
};

}  // namespace talon
