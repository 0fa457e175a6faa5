// Prompts of an evaluation: data rows rendered in the verifier's chat format and encoded, those
// that do not fit the context set aside, and the second and later turns made from the verifier's
// own answers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "talon/eval/trace.h"
#include "talon/text/chat.h"
#include "talon/text/dataset.h"
#include "talon/text/tokenizer.h"

namespace talon {

struct EvalDataOptions {
  std::optional<ChatFormat> chat_format;  // none: raw text behind one BOS, first turns only
  bool all_turns = false;
  int64_t max_prompts = 0;      // rows taken of each category, of those that fit; 0: all
  int64_t max_positions = 0;    // of verifier and drafters
  int64_t reserved_tokens = 0;  // a prompt fits when prompt + reserved_tokens <= max_positions
};

struct EvalPrompt {
  TraceKey key;
  std::string id;  // of turn t > 0: "ID#t+1"
  std::string category;
  std::vector<int32_t> tokens;
  Json messages;  // what was rendered; null for raw text
};

struct SkippedPrompt {
  std::string id;
  std::string category;
  int64_t prompt_tokens = 0;
};

class EvalData {
 public:
  // Throws kInvalidArgument when no row is left, and for options that contradict each other.
  EvalData(std::vector<PromptRow> rows, const Tokenizer& tokenizer, const EvalDataOptions& options);

  // The first turn of every chosen row, in data order.
  const std::vector<EvalPrompt>& first_turns() const { return first_turns_; }
  // The turn after `prompt`, given its answer; nullopt after the last one or when it does not fit.
  std::optional<EvalPrompt> NextTurn(const EvalPrompt& prompt, std::span<const int32_t> answer);

  // Prompts that do not fit the context, in data order of first turns, then later turns.
  const std::vector<SkippedPrompt>& skipped() const { return skipped_; }
  // SHA-256 over ids, categories and texts of all rows.
  const std::string& identity() const { return identity_; }

 private:
  EvalPrompt MakePrompt(int64_t row, int64_t turn, Json messages) const;
  bool Fits(const EvalPrompt& prompt);

  std::vector<PromptRow> rows_;
  const Tokenizer& tokenizer_;
  EvalDataOptions options_;
  std::vector<EvalPrompt> first_turns_;
  std::vector<SkippedPrompt> skipped_;
  std::string identity_;
};

}  // namespace talon
