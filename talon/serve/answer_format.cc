#include "talon/serve/answer_format.h"

#include <chrono>
#include <random>

#include "talon/base/error.h"

namespace talon {
namespace {

std::string NewId(const char* prefix) {
  static thread_local std::random_device device;
  return fmt::format("{}-{:08x}{:08x}{:08x}{:08x}", prefix, device(), device(), device(), device());
}

std::string ToEvent(const Json& json) {
  // Text is UTF-8 already; a replacement instead of an exception keeps a stream alive in any case.
  return "data: " + json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n\n";
}

Json NullIfEmpty(const std::string& text) { return text.empty() ? Json() : Json(text); }

}  // namespace

AnswerFormat::AnswerFormat(const GenerationSpec& spec, const ServedModel& model)
    : spec_(spec),
      model_(model),
      id_(NewId(spec.endpoint == Endpoint::kChat ? "chatcmpl" : "cmpl")),
      created_(std::chrono::duration_cast<std::chrono::seconds>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count()) {}

Json AnswerFormat::Envelope(const char* object) const {
  return {{"id", id_},
          {"object", object},
          {"created", created_},
          {"model", spec_.model},
          {"system_fingerprint", model_.system_fingerprint}};
}

Json AnswerFormat::Logprobs(const AnswerChoice& choice, size_t first_logged) const {
  const TokenLog& log = choice.log();
  const auto tokens = log.tokens().subspan(first_logged);
  if (tokens.empty()) return nullptr;
  return chat() ? log.ChatJson(tokens) : log.CompletionJson(tokens);
}

Json AnswerFormat::Usage(const std::vector<AnswerChoice>& choices) const {
  size_t prompt_tokens = 0;
  size_t completion_tokens = 0;
  int64_t reasoning_tokens = 0;
  for (const auto& prompt : spec_.prompts) prompt_tokens += prompt.size();
  for (const AnswerChoice& choice : choices) {
    completion_tokens += choice.tokens().size();
    reasoning_tokens += choice.reasoning_tokens();
  }
  Json usage = {{"prompt_tokens", prompt_tokens},
                {"total_tokens", prompt_tokens + completion_tokens},
                {"completion_tokens", completion_tokens}};
  if (chat()) usage["completion_tokens_details"] = {{"reasoning_tokens", reasoning_tokens}};
  return usage;
}

void AnswerFormat::AddMetrics(const std::vector<AnswerChoice>& choices, Json& answer) const {
  if (spec_.spec_metrics == SpecMetricsLevel::kNone || choices.size() != 1 ||
      model_.num_speculative_tokens == 0) {
    return;
  }
  answer["metrics"]["speculative_decoding"] = choices.front().SpeculativeMetrics(
      model_.num_speculative_tokens, spec_.spec_metrics == SpecMetricsLevel::kDetailed);
}

Json AnswerFormat::WholeChoice(const AnswerChoice& choice) const {
  Json json = {{"index", choice.index()}};
  if (chat()) {
    const TextDelta& text = choice.text();
    json["message"] = {
        {"role", "assistant"},
        {"content", text.reasoning.empty() ? Json(text.content) : NullIfEmpty(text.content)},
        {"refusal", nullptr},
        {"reasoning", NullIfEmpty(text.reasoning)},
        {"reasoning_content", NullIfEmpty(text.reasoning)}};
  } else {
    json["text"] = choice.Echo() + choice.text().content;
  }
  json["logprobs"] = Logprobs(choice, 0);
  json["finish_reason"] = choice.finish_reason();
  json["stop_reason"] = choice.stop_reason();
  if (spec_.return_token_ids) {
    json["token_ids"] = choice.tokens();
    if (!chat()) {
      json["prompt_token_ids"] = spec_.prompts[choice.index() / static_cast<size_t>(spec_.n)];
    }
  }
  return json;
}

Json AnswerFormat::Whole(const std::vector<AnswerChoice>& choices) const {
  Json answer = Envelope(chat() ? "chat.completion" : "text_completion");
  answer["choices"] = Json::array();
  for (const AnswerChoice& choice : choices) answer["choices"].push_back(WholeChoice(choice));
  answer["usage"] = Usage(choices);
  if (chat() && spec_.return_token_ids) answer["prompt_token_ids"] = spec_.prompts.front();
  AddMetrics(choices, answer);
  return answer;
}

std::string AnswerFormat::Event(Json chunk, Json choice,
                                const std::vector<AnswerChoice>& choices) const {
  chunk["choices"] = Json::array({std::move(choice)});
  if (spec_.include_usage) chunk["usage"] = spec_.continuous_usage ? Usage(choices) : Json();
  return ToEvent(chunk);
}

std::string AnswerFormat::Opening(const std::vector<AnswerChoice>& choices) const {
  std::string events;
  if (!chat()) return events;
  for (const AnswerChoice& choice : choices) {
    Json chunk = Envelope("chat.completion.chunk");
    if (spec_.return_token_ids) chunk["prompt_token_ids"] = spec_.prompts.front();
    events += Event(std::move(chunk),
                    {{"index", choice.index()},
                     {"delta", {{"role", "assistant"}, {"content", ""}}},
                     {"logprobs", nullptr},
                     {"finish_reason", nullptr}},
                    choices);
  }
  return events;
}

Json AnswerFormat::ChunkChoice(const AnswerChoice& choice, const AnswerChoice::Delta& delta) const {
  Json json = {{"index", choice.index()}};
  if (chat()) {
    json["delta"] = Json::object();
    if (!delta.text.reasoning.empty()) {
      json["delta"]["reasoning"] = delta.text.reasoning;
      json["delta"]["reasoning_content"] = delta.text.reasoning;
    }
    if (!delta.text.content.empty()) json["delta"]["content"] = delta.text.content;
  } else {
    json["text"] = delta.echo + delta.text.content;
  }
  json["logprobs"] = Logprobs(choice, delta.first_logged);
  json["finish_reason"] = delta.finished ? Json(choice.finish_reason()) : Json();
  if (delta.finished) json["stop_reason"] = choice.stop_reason();
  if (spec_.return_token_ids) json["token_ids"] = delta.tokens;
  return json;
}

std::string AnswerFormat::Chunk(const AnswerChoice& choice, const AnswerChoice::Delta& delta,
                                const std::vector<AnswerChoice>& choices) const {
  // Text may be held back (stop strings, parts of characters): nothing to tell yet.
  const bool has_tokens = spec_.return_token_ids || spec_.wants_logprobs();
  if (delta.text.empty() && delta.echo.empty() && !delta.finished && !has_tokens) return "";
  return Event(Envelope(chat() ? "chat.completion.chunk" : "text_completion"),
               ChunkChoice(choice, delta), choices);
}

std::string AnswerFormat::Closing(const std::vector<AnswerChoice>& choices) const {
  std::string events;
  Json last = Envelope(chat() ? "chat.completion.chunk" : "text_completion");
  last["choices"] = Json::array();
  AddMetrics(choices, last);
  if (spec_.include_usage || last.contains("metrics")) {
    if (spec_.include_usage) last["usage"] = Usage(choices);
    events += ToEvent(last);
  }
  return events + "data: [DONE]\n\n";
}

std::string AnswerFormat::Failure(const Json& error) { return ToEvent(error) + "data: [DONE]\n\n"; }

}  // namespace talon
