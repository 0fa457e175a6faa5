#include "talon/text/gemma3_chat.h"

#include "talon/base/error.h"
#include "talon/text/chat_message.h"
#include "talon/text/jinja_text.h"

namespace talon {

std::string RenderGemma3Chat(const Json& messages, const ChatOptions& options) {
  if (JinjaTruth(&options.tools)) {
    Throw(ErrorCode::kUnsupported, "tools: the gemma3 chat format has no tools");
  }
  if (options.enable_thinking) {
    Throw(ErrorCode::kUnsupported, "enable_thinking: the gemma3 chat format has no thinking");
  }
  const auto checked = CheckMessages(messages, {"system", "developer", "user", "assistant"});
  std::string text = "<bos>";
  std::string prefix;
  size_t first = 0;
  if (checked[0].IsSystem()) {
    // Not trimmed, unlike every other text.
    for (const std::string_view part : checked[0].ContentTexts()) prefix += part;
    prefix += "\n\n";
    first = 1;
    if (checked.size() == 1) {
      Throw(ErrorCode::kInvalidArgument, "messages holds no user message after the system text");
    }
  }
  for (size_t i = first; i < checked.size(); ++i) {
    const char* expected = (i - first) % 2 == 0 ? "user" : "assistant";
    if (checked[i].role() != expected) {
      Throw(ErrorCode::kInvalidArgument,
            "{} is '{}', expected '{}': roles must alternate, user first", checked[i].Path("role"),
            checked[i].role(), expected);
    }
    text += checked[i].role() == "user" ? "<start_of_turn>user\n" : "<start_of_turn>model\n";
    if (i == first) text += prefix;
    text += checked[i].TrimmedContent() + "<end_of_turn>\n";
  }
  if (options.add_generation_prompt) text += "<start_of_turn>model\n";
  return text;
}

}  // namespace talon
