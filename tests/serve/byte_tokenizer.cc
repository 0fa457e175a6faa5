#include "tests/serve/byte_tokenizer.h"

#include <array>

namespace talon::test {
namespace {

constexpr std::array<std::string_view, ByteTokenizer::kFirstByte> kSpecial = {
    "<pad>",      "<eos>",     "<bos>",     "<|turn>",   "<turn|>",   "<|channel>",
    "<channel|>", "<|think|>", "<unused0>", "<unused1>", "<unused2>", "<unused3>",
    "<unused4>",  "<unused5>", "<unused6>", "<unused7>"};

}  // namespace

std::vector<int32_t> ByteTokenizer::Encode(std::string_view text) const {
  std::vector<int32_t> ids;
  while (!text.empty()) {
    int32_t id = kFirstByte + static_cast<unsigned char>(text.front());
    size_t size = 1;
    for (size_t i = 0; i < kSpecial.size(); ++i) {
      if (!text.starts_with(kSpecial[i])) continue;
      id = static_cast<int32_t>(i);
      size = kSpecial[i].size();
    }
    ids.push_back(id);
    text.remove_prefix(size);
  }
  return ids;
}

std::string ByteTokenizer::Decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  IncrementalDetokenizer detokenizer(*this, skip_special_tokens);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.Push(id);
  return text + detokenizer.Finish();
}

std::string ByteTokenizer::TokenBytes(int32_t id, bool skip_special_tokens) const {
  if (id >= kFirstByte) return std::string(1, static_cast<char>(id - kFirstByte));
  return skip_special_tokens ? "" : IdToToken(id);
}

std::optional<int32_t> ByteTokenizer::TokenToId(std::string_view token) const {
  for (size_t i = 0; i < kSpecial.size(); ++i) {
    if (token == kSpecial[i]) return static_cast<int32_t>(i);
  }
  return std::nullopt;
}

std::string ByteTokenizer::IdToToken(int32_t id) const {
  if (id >= kFirstByte) return TokenBytes(id, false);
  return std::string(kSpecial.at(static_cast<size_t>(id)));
}

}  // namespace talon::test
