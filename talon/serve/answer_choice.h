// One answer in the making: its tokens, text, end and acceptance figures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "talon/base/json.h"
#include "talon/serve/generation_spec.h"
#include "talon/serve/request_channel.h"
#include "talon/serve/token_log.h"

namespace talon {

class AnswerChoice {
 public:
  // `sequence` is its place among the call's sequences: the choice's index in the answer.
  AnswerChoice(const GenerationSpec& spec, const ServedModel& model, size_t sequence);

  // What one reading of the channel adds.
  struct Delta {
    TextDelta text;
    std::vector<int32_t> tokens;
    std::string echo;                // the prompt's text, before anything else
    size_t first_logged = 0;         // where its part of the token log begins
    bool finished = false;           // with this delta
    bool stopped_by_string = false;  // the engine does not know yet that this answer has ended
    bool empty() const { return text.empty() && tokens.empty() && !finished && echo.empty(); }
  };
  Delta Add(const SequenceProgress& progress);

  size_t index() const { return index_; }
  bool finished() const { return !finish_reason_.empty(); }
  const std::string& finish_reason() const { return finish_reason_; }  // "stop", "length" or ""
  const Json& stop_reason() const { return stop_reason_; }  // stop string, stop token id or null
  const TextDelta& text() const { return text_; }           // so far
  const std::vector<int32_t>& tokens() const { return tokens_; }
  // The prompt's text when it is to be echoed.
  std::string Echo() const;
  // Every token with its log-probabilities, an echoed prompt's first; empty when not asked for.
  const TokenLog& log() const { return log_; }
  int64_t reasoning_tokens() const { return reader_.reasoning_tokens(); }
  // vLLM's metrics.speculative_decoding.
  Json SpeculativeMetrics(int64_t num_speculative_tokens, bool detailed) const;

 private:
  void AddToken(int32_t id, bool ends_answer, Delta& delta);
  // The echoed prompt, with the first progress.
  void AddPrompt(const SequenceProgress& progress, Delta& delta);
  size_t prompt_index() const { return index_ / static_cast<size_t>(spec_.n); }
  void Append(TextDelta text, Delta& delta);
  void EndAs(FinishReason reason);

  const GenerationSpec& spec_;
  size_t index_;
  AnswerText reader_;
  TokenLog log_;
  bool prompt_added_ = false;
  TextDelta text_;
  std::vector<int32_t> tokens_;
  std::vector<std::pair<int64_t, int64_t>> rounds_;  // drafted, accepted
  std::string finish_reason_;
  Json stop_reason_;
};

}  // namespace talon
