// POST /v1/chat/completions, the request.
#include "talon/base/error.h"
#include "talon/serve/openai_protocol.h"
#include "talon/serve/request_error.h"

namespace talon {
namespace {

// vLLM's clients send a past turn's thoughts as `reasoning_content` too.
Json WithReasoningField(Json messages) {
  if (!messages.is_array()) return messages;
  for (Json& message : messages) {
    if (!message.is_object() || !message.contains("reasoning_content")) continue;
    const Json reasoning = message["reasoning_content"];
    message.erase("reasoning_content");
    if (!message.contains("reasoning") || message["reasoning"].is_null()) {
      message["reasoning"] = reasoning;
    }
  }
  return messages;
}

bool ReadThinking(RequestFields& fields) {
  std::optional<bool> thinking;
  if (const Json* kwargs = fields.Find("chat_template_kwargs")) {
    RequestFields inner(*kwargs, "chat_template_kwargs.");
    thinking = inner.Bool("enable_thinking");
    inner.RefuseUnknown();
  }
  const auto effort = fields.String("reasoning_effort");
  if (!effort) return thinking.value_or(false);
  for (const char* known : {"none", "minimal", "low", "medium", "high", "xhigh", "max"}) {
    if (*effort == known) return thinking.value_or(*effort != "none");
  }
  RefuseField("reasoning_effort",
              "is '{}'; expected none, minimal, low, medium, high, xhigh or max",
              effort->substr(0, 64));
}

Json ReadTools(RequestFields& fields) {
  const Json* tools = fields.Find("tools");
  if (tools != nullptr && !tools->is_array()) {
    RefuseField("tools", "is {}; expected a list", Describe(*tools));
  }
  const Json* choice = fields.Find("tool_choice");
  if (choice != nullptr && *choice != "none") {
    RefuseField("tool_choice",
                "is {}; tools are described to the model, but calls are not read out of its "
                "answer: leave it out or send 'none'",
                Describe(*choice));
  }
  fields.Ignore({"parallel_tool_calls"});
  return tools == nullptr || tools->empty() ? Json() : *tools;
}

}  // namespace

std::vector<int32_t> EncodeConversation(RequestFields& fields, const ServedModel& model) {
  const Json messages = WithReasoningField(fields.Require("messages"));
  ChatOptions options;
  options.enable_thinking = ReadThinking(fields);
  options.tools = ReadTools(fields);
  options.add_generation_prompt = fields.Bool("add_generation_prompt").value_or(true);
  fields.Unsupported({"chat_template", "documents", "continue_final_message", "add_special_tokens",
                      "media_io_kwargs", "mm_processor_kwargs"});
  if (!model.chat_format) {
    throw RequestError(ErrorCode::kUnsupported,
                       "this model has no chat template; use /v1/completions, or start the server "
                       "with --chat-format",
                       "messages");
  }
  return EncodePrompt(*model.tokenizer, RenderChat(*model.chat_format, messages, options));
}

GenerationSpec ParseChatRequest(const Json& body, const ServedModel& model) {
  RequestFields fields(body);
  GenerationSpec spec;
  spec.endpoint = Endpoint::kChat;
  ReadSharedFields(fields, model, spec);
  const auto max_tokens = fields.Integer("max_tokens", 1, INT64_MAX);
  spec.max_tokens = fields.Integer("max_completion_tokens", 1, INT64_MAX);
  if (!spec.max_tokens) spec.max_tokens = max_tokens;
  spec.include_reasoning = fields.Bool("include_reasoning").value_or(true);
  const bool logprobs = fields.Bool("logprobs").value_or(false);
  const auto top_logprobs = fields.Integer("top_logprobs", 0, kMaxLogprobs);
  if (top_logprobs.value_or(0) > 0 && !logprobs) {
    RefuseField("top_logprobs", "is {} although logprobs is not true", *top_logprobs);
  }
  if (logprobs) spec.sampling.num_logprobs = top_logprobs.value_or(0);
  fields.Unsupported({"echo", "audio", "function_call", "functions", "return_prompt_text",
                      "prediction", "web_search_options"});
  fields.Unsupported({"modalities"}, Json::array({"text"}));
  fields.Ignore({"verbosity"});
  spec.prompts.push_back(EncodeConversation(fields, model));
  fields.RefuseUnknown();
  return spec;
}

}  // namespace talon
