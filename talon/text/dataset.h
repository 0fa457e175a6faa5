// JSONL data sets: prompts for evaluation (`turns`, `prompt` or `messages`) and conversations for
// calibration (`messages` or `conversations`). Errors name file and line.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "talon/base/json.h"

namespace talon {

struct Conversation {
  std::string id;
  Json messages;  // OpenAI-style
};

// Every row must hold `messages` ([{role, content}]) or `conversations` ([{from, value}],
// ShareGPT).
std::vector<Conversation> ReadConversations(const std::filesystem::path& path);

struct PromptRow {
  std::string id;                  // `id`, or "STEM:LINE"
  std::string category;            // `category`, or the file's stem
  std::vector<std::string> turns;  // user turns
  Json messages;                   // set instead of `turns` when the row has messages
};

// A .jsonl file, or every .jsonl file of a folder in name order.
std::vector<PromptRow> ReadPrompts(const std::filesystem::path& path);

}  // namespace talon
