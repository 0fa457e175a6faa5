#include <simdjson.h>

#include <utility>

#include "talon/text/tokenizer.h"

namespace talon {

IncrementalDetokenizer::IncrementalDetokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
    : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens) {}

std::string IncrementalDetokenizer::Push(int32_t id) {
  std::string bytes = tokenizer_.TokenBytes(id, skip_special_tokens_);
  // A token without text does not end a run of byte pieces.
  if (bytes.empty()) return "";
  if (tokenizer_.IsBytePiece(id)) {
    pending_ += bytes;
    return "";
  }
  return Finish() + bytes;
}

std::string IncrementalDetokenizer::Finish() {
  std::string run = std::exchange(pending_, "");
  if (simdjson::validate_utf8(run.data(), run.size())) return run;
  std::string text;
  for (size_t i = 0; i < run.size(); ++i) text += "\xEF\xBF\xBD";
  return text;
}

}  // namespace talon
