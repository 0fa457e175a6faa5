// The small endpoints: /tokenize, /detokenize, /v1/models, and the form of errors.
#include <string>

#include "talon/serve/openai_protocol.h"
#include "talon/serve/request_error.h"

namespace talon {
namespace {

std::string_view ErrorType(int http_status) {
  switch (http_status) {
    case 401:
      return "AuthenticationError";
    case 404:
      return "NotFoundError";
    case 429:
      return "RateLimitError";
    case 500:
      return "InternalServerError";
    case 503:
      return "ServiceUnavailableError";
    case 504:
      return "TimeoutError";
    default:
      return "BadRequestError";
  }
}

}  // namespace

Json AnswerTokenize(const Json& body, const ServedModel& model) {
  RequestFields fields(body);
  ReadModelName(fields, model);
  const bool strings = fields.Bool("return_token_strs").value_or(false);
  std::vector<int32_t> ids;
  if (const auto prompt = fields.String("prompt")) {
    const bool add_special_tokens = fields.Bool("add_special_tokens").value_or(true);
    ids = add_special_tokens ? EncodePrompt(*model.tokenizer, *prompt)
                             : model.tokenizer->Encode(*prompt);
  } else {
    ids = EncodeConversation(fields, model);
  }
  fields.RefuseUnknown();
  Json answer = {{"count", ids.size()}, {"max_model_len", model.max_model_len}, {"tokens", ids}};
  answer["token_strs"] = nullptr;
  if (strings) {
    answer["token_strs"] = Json::array();
    for (const int32_t id : ids) answer["token_strs"].push_back(model.tokenizer->IdToToken(id));
  }
  return answer;
}

Json AnswerDetokenize(const Json& body, const ServedModel& model) {
  RequestFields fields(body);
  ReadModelName(fields, model);
  fields.Require("tokens");
  const std::vector<int32_t> ids =
      *fields.Integers("tokens", 0, model.vocab_size - 1, static_cast<size_t>(INT32_MAX));
  fields.RefuseUnknown();
  return {{"prompt", model.tokenizer->Decode(ids, /*skip_special_tokens=*/false)}};
}

Json ModelList(const ServedModel& model) {
  Json data = Json::array();
  for (const std::string& name : model.names) {
    data.push_back({{"id", name},
                    {"object", "model"},
                    {"created", model.created},
                    {"owned_by", "talon"},
                    {"root", model.root},
                    {"parent", nullptr},
                    {"max_model_len", model.max_model_len}});
  }
  return {{"object", "list"}, {"data", data}};
}

Json ErrorBody(int http_status, const std::string& message, const std::string& param) {
  return {{"error",
           {{"message", message},
            {"type", ErrorType(http_status)},
            {"param", param.empty() ? Json() : Json(param)},
            {"code", http_status}}}};
}

}  // namespace talon
