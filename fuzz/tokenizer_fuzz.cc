// Any bytes as tokenizer.json: an error or a tokenizer that encodes and decodes without surprises.
#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "talon/base/error.h"
#include "talon/text/tokenizer.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void Use(const talon::Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.Encode(text);
  for (const bool skip : {false, true}) {
    talon::IncrementalDetokenizer detokenizer(tokenizer, skip);
    std::string pieces;
    for (const int32_t id : ids) {
      Require(id >= 0 && id < tokenizer.vocab_size());
      pieces += detokenizer.Push(id);
    }
    Require(pieces + detokenizer.Finish() == tokenizer.Decode(ids, skip));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = talon::Tokenizer::FromJson(input, "fuzz");
    Use(*tokenizer, "abc ab<bos>\n é😀<x><y>▁▁ [n m]");
    for (int32_t id = -1; id <= tokenizer->vocab_size(); ++id) tokenizer->TokenBytes(id, true);
    Use(*tokenizer, input.substr(0, 200));
  } catch (const talon::Error& error) {
    Require(error.code() != talon::ErrorCode::kInternal);
  }
  return 0;
}
