#include "talon/text/gemma4_chat.h"

#include <span>

#include "talon/base/error.h"
#include "talon/text/chat_message.h"
#include "talon/text/gemma4_tools.h"
#include "talon/text/jinja_text.h"

namespace talon {
namespace {

constexpr std::string_view kThoughtBegin = "<|channel>";
constexpr std::string_view kThoughtEnd = "<channel|>";

// Model text without its thoughts, trimmed.
std::string WithoutThoughts(std::string_view text) {
  std::string result;
  for (;;) {
    const size_t end = text.find(kThoughtEnd);
    const std::string_view part = text.substr(0, end);
    result += part.substr(0, part.find(kThoughtBegin));
    if (end == std::string_view::npos) return std::string(JinjaTrim(result));
    text = text.substr(end + kThoughtEnd.size());
  }
}

class Gemma4Chat {
 public:
  Gemma4Chat(const Json& messages, const ChatOptions& options, bool empty_thought)
      : checked_(CheckMessages(messages, {"system", "developer", "user", "assistant", "tool"})),
        messages_(checked_),
        options_(options),
        empty_thought_(empty_thought) {}

  std::string Render() {
    text_ = "<bos>";
    SystemTurn();
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i].role() == "user") last_user_ = i;
    }
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i].role() == "tool") {
        CheckFollowsCalls(i);
      } else {
        Turn(i);
      }
    }
    if (options_.add_generation_prompt && !after_calls_) {
      text_ += "<|turn>model\n";
      if (empty_thought_ && !options_.enable_thinking) text_ += "<|channel>thought\n<channel|>";
    }
    return std::move(text_);
  }

 private:
  // Thinking, the system text and the tools; takes the system message off messages_.
  void SystemTurn() {
    const bool has_tools = JinjaTruth(&options_.tools);
    const bool has_text = messages_[0].IsSystem();
    if (!options_.enable_thinking && !has_tools && !has_text) return;
    text_ += "<|turn>system\n";
    if (options_.enable_thinking) text_ += "<|think|>\n";
    if (has_text) {
      text_ += messages_[0].TrimmedContent();
      messages_ = messages_.subspan(1);
    }
    if (has_tools) {
      if (!options_.tools.is_array()) Throw(ErrorCode::kInvalidArgument, "tools is not a list");
      for (size_t i = 0; i < options_.tools.size(); ++i) {
        const std::string path = fmt::format("tools[{}]", i);
        text_ += "<|tool>" + Gemma4ToolDeclaration(options_.tools[i], path) + "<tool|>";
      }
    }
    text_ += "<turn|>\n";
  }

  void Turn(size_t i) {
    const ChatMessage& message = messages_[i];
    const bool is_model = message.role() == "assistant";
    if (!is_model || !ContinuesModelTurn(i)) {
      text_ += fmt::format("<|turn>{}\n", is_model ? "model" : message.role());
    }
    const Json* calls = ToolCalls(message);
    bool has_results = false;
    if (calls != nullptr) {
      Reasoning(message, i);
      for (size_t c = 0; c < calls->size(); ++c) {
        const std::string path = message.Path(fmt::format("tool_calls[{}]", c));
        text_ += "<|tool_call>" + Gemma4ToolCall((*calls)[c], path) + "<tool_call|>";
      }
      has_results = Results(*calls, i + 1);
    }
    Content(message, is_model, calls != nullptr);
    if (calls != nullptr && !has_results) {
      text_ += "<|tool_response>";
    } else if (!has_results || message.HasContent()) {
      text_ += "<turn|>\n";
    }
    after_calls_ = calls != nullptr;
  }

  void Content(const ChatMessage& message, bool is_model, bool may_be_missing) {
    if (may_be_missing && FindSet(message.json(), "content") == nullptr) return;
    if (!is_model) {
      text_ += message.TrimmedContent();
      return;
    }
    for (const std::string_view part : message.ContentTexts()) text_ += WithoutThoughts(part);
  }

  // Thoughts survive only beside calls made since the last user message.
  void Reasoning(const ChatMessage& message, size_t i) {
    if (last_user_ && i <= *last_user_) return;
    for (const char* name : {"reasoning", "reasoning_content"}) {
      const Json* thought = FindField(message.json(), name);
      if (!JinjaTruth(thought)) continue;
      if (!thought->is_string()) {
        Throw(ErrorCode::kInvalidArgument, "{} is not a string", message.Path(name));
      }
      text_ += "<|channel>thought\n" + thought->get<std::string>() + "\n<channel|>";
      return;
    }
  }

  // The list of calls; nullptr when there are none.
  static const Json* ToolCalls(const ChatMessage& message) {
    const Json* calls = FindField(message.json(), "tool_calls");
    if (!JinjaTruth(calls)) return nullptr;
    if (!calls->is_array()) {
      Throw(ErrorCode::kInvalidArgument, "{} is not a list", message.Path("tool_calls"));
    }
    if (message.role() != "assistant") {
      Throw(ErrorCode::kInvalidArgument, "{} belongs to role '{}'; only 'assistant' makes calls",
            message.Path("tool_calls"), message.role());
    }
    return calls;
  }

  // Renders the tool messages that start at `first`; false when there are none.
  bool Results(const Json& calls, size_t first) {
    size_t i = first;
    for (; i < messages_.size() && messages_[i].role() == "tool"; ++i) {
      const ChatMessage& message = messages_[i];
      const Json* content = FindSet(message.json(), "content");
      Json result;
      if (content != nullptr && !content->is_string() && !content->is_array()) {
        result = *content;
      } else {
        std::string joined;
        for (const std::string_view part : message.ContentTexts()) joined += part;
        result = std::move(joined);
      }
      const std::string path = message.Path("content");
      text_ += "<|tool_response>" + Gemma4ToolResponse(CalledName(message, calls), result, path) +
               "<tool_response|>";
    }
    return i > first;
  }

  // The function that a tool message answers: of the last call with its tool_call_id (or without
  // id, when it has none), else its own name.
  static std::string CalledName(const ChatMessage& message, const Json& calls) {
    const Json* id = FindSet(message.json(), "tool_call_id");
    for (auto call = calls.rbegin(); call != calls.rend(); ++call) {
      const Json* call_id = FindSet(*call, "id");
      const bool same = id == nullptr || call_id == nullptr ? id == call_id : *id == *call_id;
      if (same) return call->at("function").at("name").get<std::string>();
    }
    const Json* name = FindSet(message.json(), "name");
    if (name == nullptr || !name->is_string()) {
      Throw(ErrorCode::kInvalidArgument,
            "{} names no call of the assistant message before it, and there is no name",
            message.Path("tool_call_id"));
    }
    return name->get<std::string>();
  }

  void CheckFollowsCalls(size_t i) const {
    size_t before = i;
    while (before > 0 && messages_[before].role() == "tool") --before;
    if (ToolCalls(messages_[before]) == nullptr) {
      Throw(ErrorCode::kInvalidArgument,
            "{} is 'tool', but no assistant message with tool_calls comes before it",
            messages_[i].Path("role"));
    }
  }

  // Whether the last message before `i` that is no tool result is the assistant's too.
  bool ContinuesModelTurn(size_t i) const {
    while (i > 0 && messages_[i - 1].role() == "tool") --i;
    return i > 0 && messages_[i - 1].role() == "assistant";
  }

  std::vector<ChatMessage> checked_;
  std::span<const ChatMessage> messages_;  // without the system message
  const ChatOptions& options_;
  bool empty_thought_;
  std::optional<size_t> last_user_;
  bool after_calls_ = false;  // the last turn made calls: the model goes on in it
  std::string text_;
};

}  // namespace

std::string RenderGemma4Chat(const Json& messages, const ChatOptions& options, bool empty_thought) {
  return Gemma4Chat(messages, options, empty_thought).Render();
}

}  // namespace talon
