// A checked generation request: what /v1/chat/completions and /v1/completions have in common once
// their JSON is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "talon/engine/request.h"
#include "talon/serve/served_model.h"

namespace talon {

enum class Endpoint : uint8_t { kChat, kCompletions };

struct GenerationSpec {
  Endpoint endpoint = Endpoint::kChat;
  std::string model;                          // as the answer names it
  std::vector<std::vector<int32_t>> prompts;  // token ids; chat has one
  std::vector<std::string> echo_texts;        // per prompt, when the prompt is to be echoed
  int64_t n = 1;                              // answers per prompt
  SamplingParams sampling;                    // seed: see `seed`
  bool prompt_only = false;                   // echo with max_tokens 0: no answer is given out
  std::optional<int64_t> seed;                // none: every answer gets a random one
  std::optional<int64_t> max_tokens;          // none: up to the end of the context
  std::vector<int32_t> stop_token_ids;        // the request's own
  bool ignore_eos = false;
  std::vector<std::string> stop;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  bool include_reasoning = true;
  bool return_token_ids = false;
  bool return_tokens_as_token_ids = false;  // log-probabilities name "token_id:7" instead of texts
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  SpecMetricsLevel spec_metrics = SpecMetricsLevel::kNone;

  bool wants_logprobs() const { return sampling.num_logprobs >= 0; }
  size_t num_sequences() const { return prompts.size() * static_cast<size_t>(n); }
};

// One engine request per answer, answers of one prompt beside each other. Throws RequestError when
// a prompt and its answer do not fit the context.
std::vector<GenerationRequest> BuildSequences(const GenerationSpec& spec, const ServedModel& model);

}  // namespace talon
