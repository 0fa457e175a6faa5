// Tokens with their log-probabilities and places in the text, and their JSON: OpenAI's shapes as
// vLLM writes them. Source: vLLM 0.32 entrypoints/openai/{chat_completion,completion}/serving.py.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "talon/base/json.h"
#include "talon/engine/request.h"
#include "talon/text/tokenizer.h"

namespace talon {

struct LoggedToken {
  int32_t id = -1;
  int64_t text_offset = 0;                // in characters
  std::optional<TokenLogprobs> logprobs;  // none: the text's first token
};

class TokenLog {
 public:
  // `as_ids`: tokens are named "token_id:7" instead of by their text.
  TokenLog(const Tokenizer& tokenizer, bool as_ids) : tokenizer_(tokenizer), as_ids_(as_ids) {}

  void Add(int32_t id, std::optional<TokenLogprobs> logprobs);
  std::span<const LoggedToken> tokens() const { return tokens_; }

  // {"content": [{token, logprob, bytes, top_logprobs}]}; the top tokens are the likeliest ones.
  Json ChatJson(std::span<const LoggedToken> tokens) const;
  // {tokens, token_logprobs, top_logprobs, text_offset}; the top tokens hold the token itself too.
  Json CompletionJson(std::span<const LoggedToken> tokens) const;

 private:
  std::string Text(int32_t id) const;
  Json ChatEntry(int32_t id, float logprob) const;

  const Tokenizer& tokenizer_;
  bool as_ids_;
  int64_t text_size_ = 0;  // in characters
  std::vector<LoggedToken> tokens_;
};

}  // namespace talon
