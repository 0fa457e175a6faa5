#include "talon/eval/eval_data.h"

#include <utility>

#include "talon/base/error.h"
#include "talon/base/hash.h"

namespace talon {
namespace {

std::string Identity(const std::vector<PromptRow>& rows) {
  Sha256 hash;
  for (const PromptRow& row : rows) {
    hash.Update(Json::array({row.id, row.category, row.turns, row.messages}).dump() + "\n");
  }
  return hash.Finish();
}

Json UserMessage(const std::string& text) {
  Json message;
  message["role"] = "user";
  message["content"] = text;
  return message;
}

// A row's first request. Rows with `messages` are one request as they stand; answers at their end,
// which are what the verifier is asked for, are dropped.
Json FirstMessages(const PromptRow& row) {
  if (row.messages.is_null()) return Json::array({UserMessage(row.turns.at(0))});
  Json messages = row.messages;
  while (!messages.empty() && messages.back().value("role", "") == "assistant") {
    messages.erase(messages.size() - 1);
  }
  if (messages.empty()) {
    Throw(ErrorCode::kInvalidArgument, "row {}: its messages hold no question", row.id);
  }
  return messages;
}

}  // namespace

EvalData::EvalData(std::vector<PromptRow> rows, const Tokenizer& tokenizer,
                   const EvalDataOptions& options)
    : rows_(std::move(rows)), tokenizer_(tokenizer), options_(options), identity_(Identity(rows_)) {
  if (options_.all_turns && !options_.chat_format) {
    Throw(ErrorCode::kInvalidArgument,
          "--turns all needs a chat format, and the verifier has no chat template; give "
          "--chat-format");
  }
  std::map<std::string, int64_t> taken;
  for (size_t row = 0; row < rows_.size(); ++row) {
    if (options_.max_prompts > 0 && taken[rows_[row].category] >= options_.max_prompts) continue;
    EvalPrompt prompt = MakePrompt(static_cast<int64_t>(row), 0, FirstMessages(rows_[row]));
    if (!Fits(prompt)) continue;
    ++taken[prompt.category];
    first_turns_.push_back(std::move(prompt));
  }
  if (first_turns_.empty()) {
    Throw(ErrorCode::kInvalidArgument,
          "no prompt is left to evaluate: of {} rows, {} do not fit a context of {} tokens",
          rows_.size(), skipped_.size(), options_.max_positions);
  }
}

std::optional<EvalPrompt> EvalData::NextTurn(const EvalPrompt& prompt,
                                             std::span<const int32_t> answer) {
  const PromptRow& row = rows_.at(static_cast<size_t>(prompt.key.row));
  const int64_t turn = prompt.key.turn + 1;
  if (!options_.all_turns || turn >= static_cast<int64_t>(row.turns.size())) return std::nullopt;
  Json messages = prompt.messages;
  Json reply;
  reply["role"] = "assistant";
  reply["content"] = tokenizer_.Decode(answer, /*skip_special_tokens=*/true);
  messages.push_back(std::move(reply));
  messages.push_back(UserMessage(row.turns[static_cast<size_t>(turn)]));
  EvalPrompt next = MakePrompt(prompt.key.row, turn, std::move(messages));
  if (!Fits(next)) return std::nullopt;
  return next;
}

EvalPrompt EvalData::MakePrompt(int64_t row, int64_t turn, Json messages) const {
  const PromptRow& source = rows_[static_cast<size_t>(row)];
  EvalPrompt prompt;
  prompt.key = {row, turn};
  prompt.id = turn == 0 ? source.id : fmt::format("{}#{}", source.id, turn + 1);
  prompt.category = source.category;
  if (options_.chat_format) {
    prompt.tokens = EncodePrompt(tokenizer_, RenderChat(*options_.chat_format, messages, {}));
    prompt.messages = std::move(messages);
  } else if (source.messages.is_null()) {
    prompt.tokens = EncodePrompt(tokenizer_, source.turns.at(0));
  } else {
    Throw(ErrorCode::kInvalidArgument,
          "row {} has messages, and the verifier has no chat template; give --chat-format",
          source.id);
  }
  return prompt;
}

bool EvalData::Fits(const EvalPrompt& prompt) {
  const auto tokens = static_cast<int64_t>(prompt.tokens.size());
  if (tokens + options_.reserved_tokens <= options_.max_positions) return true;
  skipped_.push_back({prompt.id, prompt.category, tokens});
  return false;
}

}  // namespace talon
