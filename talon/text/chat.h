// Chat formats of Gemma 3 and Gemma 4, written out natively (no template engine). Exact against the
// published templates. Sources: specs/gemma.md 4.5 to 4.7; fixtures chat-gemma4.json and
// tokenizer-gemma3.json.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "talon/base/json.h"

namespace talon {

enum class ChatFormat { kGemma3, kGemma4, kGemma4EmptyThought };

struct ChatOptions {
  bool add_generation_prompt = true;
  bool enable_thinking = false;
  Json tools;  // OpenAI tool declarations; null when none
};

// "gemma3", "gemma4", "gemma4-empty-thought"; throws kInvalidArgument for others.
ChatFormat ParseChatFormat(std::string_view name);
std::string_view Name(ChatFormat format);

// Recognizes the format from the checkpoint's chat template text (chat_template.jinja, or the field
// chat_template of tokenizer_config.json or chat_template.json). nullopt when there is no template
// at all (a base model); throws kUnsupported, naming --chat-format, for a template Talon does not
// know.
std::optional<ChatFormat> DetectChatFormat(const std::filesystem::path& model_directory);

// Renders OpenAI-style messages ([{role, content, tool_calls?, reasoning?, ...}]; content is a
// string or a list of text parts) to text that starts with exactly one "<bos>"; EncodePrompt turns
// it into ids. Throws kInvalidArgument naming the message and field.
std::string RenderChat(ChatFormat format, const Json& messages, const ChatOptions& options);

}  // namespace talon
