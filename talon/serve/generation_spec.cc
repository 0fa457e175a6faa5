#include "talon/serve/generation_spec.h"

#include <random>

#include "talon/serve/request_error.h"

namespace talon {
namespace {

uint64_t RandomSeed() {
  static thread_local std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

// The tokens an answer may have; refuses what does not fit the context.
int64_t CheckedMaxTokens(const GenerationSpec& spec, int64_t prompt_tokens, int64_t max_model_len) {
  const char* field = spec.endpoint == Endpoint::kChat ? "messages" : "prompt";
  if (prompt_tokens == 0) RefuseField(field, "is empty");
  const int64_t room = max_model_len - prompt_tokens;
  if (room < 1) {
    RefuseField(field, "has {} tokens and leaves no room in this model's context of {} tokens",
                prompt_tokens, max_model_len);
  }
  if (spec.prompt_only) return 1;  // the engine answers with one token at least
  if (spec.max_tokens.value_or(1) > room) {
    RefuseField("max_tokens",
                "is {}; with the {} tokens of the prompt it exceeds this model's context of {} "
                "tokens",
                *spec.max_tokens, prompt_tokens, max_model_len);
  }
  return spec.max_tokens.value_or(room);
}

}  // namespace

std::vector<GenerationRequest> BuildSequences(const GenerationSpec& spec,
                                              const ServedModel& model) {
  std::vector<GenerationRequest> sequences;
  sequences.reserve(spec.num_sequences());
  for (const std::vector<int32_t>& prompt : spec.prompts) {
    for (int64_t answer = 0; answer < spec.n; ++answer) {
      GenerationRequest request;
      request.prompt_ids = prompt;
      request.sampling = spec.sampling;
      // As in vLLM: the answers of one prompt differ, the first one is what n = 1 gives.
      request.sampling.seed =
          spec.seed ? static_cast<uint64_t>(*spec.seed) + static_cast<uint64_t>(answer)
                    : RandomSeed();
      request.max_tokens =
          CheckedMaxTokens(spec, static_cast<int64_t>(prompt.size()), model.max_model_len);
      if (spec.sampling.min_tokens > request.max_tokens) {
        RefuseField("min_tokens", "is {}; expected at most max_tokens, {}",
                    spec.sampling.min_tokens, request.max_tokens);
      }
      request.stop_token_ids = spec.stop_token_ids;
      // As in vLLM, min_tokens keeps end tokens out even where they would not end the answer.
      std::vector<int32_t>& ends =
          spec.ignore_eos ? request.held_back_token_ids : request.stop_token_ids;
      ends.insert(ends.end(), model.stop_token_ids.begin(), model.stop_token_ids.end());
      sequences.push_back(std::move(request));
    }
  }
  return sequences;
}

}  // namespace talon
