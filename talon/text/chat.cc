#include "talon/text/chat.h"

#include "talon/base/error.h"
#include "talon/text/gemma3_chat.h"
#include "talon/text/gemma4_chat.h"

namespace talon {

ChatFormat ParseChatFormat(std::string_view name) {
  for (const auto format :
       {ChatFormat::kGemma3, ChatFormat::kGemma4, ChatFormat::kGemma4EmptyThought}) {
    if (name == Name(format)) return format;
  }
  Throw(ErrorCode::kInvalidArgument,
        "unknown chat format '{}'; expected gemma3, gemma4 or gemma4-empty-thought", name);
}

std::string_view Name(ChatFormat format) {
  switch (format) {
    case ChatFormat::kGemma3:
      return "gemma3";
    case ChatFormat::kGemma4:
      return "gemma4";
    case ChatFormat::kGemma4EmptyThought:
      return "gemma4-empty-thought";
  }
  Throw(ErrorCode::kInternal, "chat format {} has no name", static_cast<int>(format));
}

std::string RenderChat(ChatFormat format, const Json& messages, const ChatOptions& options) {
  if (format == ChatFormat::kGemma3) return RenderGemma3Chat(messages, options);
  return RenderGemma4Chat(messages, options, format == ChatFormat::kGemma4EmptyThought);
}

}  // namespace talon
