#include "talon/serve/token_log.h"

#include <algorithm>
#include <utility>

#include "talon/base/error.h"

namespace talon {
namespace {

// JSON has no infinity: the number that OpenAI and vLLM put in its place.
double Finite(float logprob) { return std::max(static_cast<double>(logprob), -9999.0); }

int64_t CountCharacters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0u) != 0x80u;  // not inside a character
  });
}

}  // namespace

std::string TokenLog::Text(int32_t id) const {
  if (as_ids_) return fmt::format("token_id:{}", id);
  return tokenizer_.Decode(std::span(&id, 1), /*skip_special_tokens=*/false);
}

void TokenLog::Add(int32_t id, std::optional<TokenLogprobs> logprobs) {
  tokens_.push_back({id, text_size_, std::move(logprobs)});
  text_size_ += CountCharacters(Text(id));
}

Json TokenLog::ChatEntry(int32_t id, float logprob) const {
  const std::string raw = tokenizer_.TokenBytes(id, /*skip_special_tokens=*/false);
  return {{"token", Text(id)},
          {"logprob", Finite(logprob)},
          {"bytes", std::vector<uint8_t>(raw.begin(), raw.end())}};
}

Json TokenLog::ChatJson(std::span<const LoggedToken> tokens) const {
  Json content = Json::array();
  for (const LoggedToken& token : tokens) {
    const TokenLogprobs& logprobs = *token.logprobs;
    Json entry = ChatEntry(token.id, logprobs.logprob);
    entry["top_logprobs"] = Json::array();
    for (const auto& [id, logprob] : logprobs.top) {
      entry["top_logprobs"].push_back(ChatEntry(id, logprob));
    }
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}};
}

Json TokenLog::CompletionJson(std::span<const LoggedToken> tokens) const {
  Json names = Json::array();
  Json token_logprobs = Json::array();
  Json top_logprobs = Json::array();
  Json offsets = Json::array();
  for (const LoggedToken& token : tokens) {
    names.push_back(Text(token.id));
    offsets.push_back(token.text_offset);
    if (!token.logprobs) {
      token_logprobs.push_back(nullptr);
      top_logprobs.push_back(nullptr);
      continue;
    }
    token_logprobs.push_back(Finite(token.logprobs->logprob));
    Json top = {{Text(token.id), Finite(token.logprobs->logprob)}};
    // Several tokens may have one text; the likeliest speaks for it.
    for (const auto& [id, logprob] : token.logprobs->top) top.emplace(Text(id), Finite(logprob));
    top_logprobs.push_back(std::move(top));
  }
  return {{"tokens", std::move(names)},
          {"token_logprobs", std::move(token_logprobs)},
          {"top_logprobs", std::move(top_logprobs)},
          {"text_offset", std::move(offsets)}};
}

}  // namespace talon
