// OpenAI's HTTP API with vLLM's additions, without the network: JSON requests in, checked values
// out. Every number is range-checked; fields that Talon does not implement and fields nobody knows
// are refused by name. All functions throw RequestError (or Error) for a request that is wrong.
// Source: vLLM 0.32 entrypoints/openai/*/protocol.py, sampling_params.py.
#pragma once

#include <string_view>

#include "talon/base/json.h"
#include "talon/serve/generation_spec.h"
#include "talon/serve/request_fields.h"

namespace talon {

// Limits on what one request may ask for.
inline constexpr int64_t kMaxAnswersPerPrompt = 128;
inline constexpr size_t kMaxPromptsPerRequest = 1024;
inline constexpr size_t kMaxStopStrings = 64;
inline constexpr size_t kMaxStopStringBytes = 1024;
inline constexpr size_t kMaxStopTokenIds = 1024;
inline constexpr int64_t kMaxLogprobs = 20;  // vLLM's --max-logprobs

// The body as JSON; refuses what is no JSON.
Json ParseRequestBody(std::string_view body);

// POST /v1/chat/completions
GenerationSpec ParseChatRequest(const Json& body, const ServedModel& model);
// POST /v1/completions
GenerationSpec ParseCompletionRequest(const Json& body, const ServedModel& model);
// POST /tokenize and /detokenize: request to answer.
Json AnswerTokenize(const Json& body, const ServedModel& model);
Json AnswerDetokenize(const Json& body, const ServedModel& model);
// GET /v1/models
Json ModelList(const ServedModel& model);
// {"error": {message, type, param, code}}; `param` empty: null.
Json ErrorBody(int http_status, const std::string& message, const std::string& param);

// Shared by the endpoints.

// The fields that chat and completions have in common.
void ReadSharedFields(RequestFields& fields, const ServedModel& model, GenerationSpec& spec);
// The served name the request means; throws kNotFound for one that is not served.
std::string ReadModelName(RequestFields& fields, const ServedModel& model);
// Ids of a rendered conversation.
std::vector<int32_t> EncodeConversation(RequestFields& fields, const ServedModel& model);

}  // namespace talon
