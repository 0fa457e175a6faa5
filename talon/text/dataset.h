// JSONL data sets: prompts for evaluation (`turns`, `prompt` or `messages`) and conversations for
// calibration (`messages` or `conversations`). One object a line, UTF-8; blank lines are skipped
// and CRLF is tolerated. Errors name file and line; a file without rows is an error.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "talon/base/json.h"

namespace talon {

struct Conversation {
  std::string id;  // `id`, or "STEM:LINE"
  Json messages;   // OpenAI-style
};

// Every row must hold `messages` ([{role, content}]) or `conversations` ([{from, value}],
// ShareGPT). Reads the first `max_rows` rows; what follows them is not looked at.
std::vector<Conversation> ReadConversations(const std::filesystem::path& path,
                                            size_t max_rows = std::numeric_limits<size_t>::max());
// The same from the text of a file named `source`.
std::vector<Conversation> ParseConversations(std::string_view text,
                                             const std::filesystem::path& source,
                                             size_t max_rows = std::numeric_limits<size_t>::max());

struct PromptRow {
  std::string id;                  // `id`, or "STEM:LINE"
  std::string category;            // `category`, or the file's stem
  std::vector<std::string> turns;  // user turns
  Json messages;                   // set instead of `turns` when the row has messages
};

// A .jsonl file, or every .jsonl file of a folder in name order.
std::vector<PromptRow> ReadPrompts(const std::filesystem::path& path);
// The same from the text of a file named `source`.
std::vector<PromptRow> ParsePrompts(std::string_view text, const std::filesystem::path& source);

}  // namespace talon
