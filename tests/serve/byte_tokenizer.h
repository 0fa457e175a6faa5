// A tokenizer small enough to see through: one token per byte, and Gemma 4's markers.
#pragma once

#include "talon/text/tokenizer.h"

namespace talon::test {

class ByteTokenizer final : public Tokenizer {
 public:
  static constexpr int32_t kEos = 1;
  static constexpr int32_t kBos = 2;
  static constexpr int32_t kTurn = 3;
  static constexpr int32_t kEndOfTurn = 4;
  static constexpr int32_t kChannel = 5;
  static constexpr int32_t kEndOfChannel = 6;
  static constexpr int32_t kThink = 7;
  static constexpr int32_t kFirstByte = 16;  // the token of byte b is kFirstByte + b
  static constexpr int32_t kVocabSize = kFirstByte + 256;

  std::vector<int32_t> Encode(std::string_view text) const override;
  std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens) const override;
  std::string TokenBytes(int32_t id, bool skip_special_tokens) const override;
  // Bytes of multi-byte characters.
  bool IsBytePiece(int32_t id) const override { return id >= kFirstByte + 128; }
  std::optional<int32_t> TokenToId(std::string_view token) const override;
  std::string IdToToken(int32_t id) const override;
  bool IsSpecial(int32_t id) const override { return id < kFirstByte; }
  int32_t vocab_size() const override { return kVocabSize; }
};

}  // namespace talon::test
