#include "talon/text/tokenizer.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "talon/base/error.h"
#include "talon/base/mapped_file.h"
#include "talon/text/added_tokens.h"
#include "talon/text/byte_pieces.h"
#include "talon/text/tokenizer_json.h"

namespace talon {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // "▁"
constexpr size_t kMaxTextBytes = size_t{1} << 30;        // symbols are indexed by int32_t

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  result.reserve(text.size());
  for (size_t begin = 0;;) {
    const size_t found = text.find(from, begin);
    result += text.substr(begin, found - begin);
    if (found == std::string_view::npos) return result;
    result += to;
    begin = found + from.size();
  }
}

std::string Normalize(std::string_view text) { return ReplaceAll(text, " ", kSpaceMark); }

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(TokenizerTables tables)
      : pieces_(std::move(tables.pieces)),
        bpe_(pieces_, std::move(tables.merges), tables.byte_ids) {
    is_special_.resize(static_cast<size_t>(vocab_size()));
    for (const AddedToken& token : tables.added_tokens) {
      const auto id = static_cast<int32_t>(token.id);
      is_special_[static_cast<size_t>(id)] = token.special;
      if (token.normalized) {
        normalized_tokens_.Add(Normalize(token.content), id);
      } else {
        raw_tokens_.Add(token.content, id);
      }
    }
  }

  std::vector<int32_t> Encode(std::string_view text) const override {
    if (!simdjson::validate_utf8(text.data(), text.size())) {
      Throw(ErrorCode::kInvalidArgument, "the text to tokenize is not valid UTF-8");
    }
    if (text.size() > kMaxTextBytes) {
      Throw(ErrorCode::kInvalidArgument,
            "the text to tokenize has {} bytes; at most {} are allowed", text.size(),
            kMaxTextBytes);
    }
    std::vector<int32_t> ids;
    ForSpans(raw_tokens_, text, &ids, [&](std::string_view raw) {
      ForSpans(normalized_tokens_, Normalize(raw), &ids,
               [&](std::string_view span) { bpe_.Encode(span, &ids); });
    });
    return ids;
  }

  std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens) const override {
    IncrementalDetokenizer detokenizer(*this, skip_special_tokens);
    std::string text;
    for (const int32_t id : ids) text += detokenizer.Push(id);
    return text + detokenizer.Finish();
  }

  std::string TokenBytes(int32_t id, bool skip_special_tokens) const override {
    if (!pieces_.Contains(id) || (skip_special_tokens && IsSpecial(id))) return "";
    const std::string_view piece = pieces_.Piece(id);
    if (const auto byte = ByteOfPiece(piece)) return std::string(1, *byte);
    return ReplaceAll(piece, kSpaceMark, " ");
  }

  bool IsBytePiece(int32_t id) const override {
    return pieces_.Contains(id) && ByteOfPiece(pieces_.Piece(id)).has_value();
  }

  std::optional<int32_t> TokenToId(std::string_view token) const override {
    return pieces_.Find(token);
  }

  std::string IdToToken(int32_t id) const override {
    if (!pieces_.Contains(id)) {
      Throw(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {}", id,
            vocab_size());
    }
    return std::string(pieces_.Piece(id));
  }

  bool IsSpecial(int32_t id) const override {
    return pieces_.Contains(id) && is_special_[static_cast<size_t>(id)];
  }

  int32_t vocab_size() const override { return pieces_.size(); }

 private:
  // Calls `encode` for the spans between the added tokens of `text` and appends the tokens' ids.
  template <typename EncodeSpan>
  static void ForSpans(const AddedTokenMatcher& tokens, std::string_view text,
                       std::vector<int32_t>* ids, EncodeSpan encode) {
    size_t begin = 0;
    while (const auto match = tokens.Find(text, begin)) {
      if (match->begin > begin) encode(text.substr(begin, match->begin - begin));
      ids->push_back(match->id);
      begin = match->end;
    }
    if (begin < text.size()) encode(text.substr(begin));
  }

  PieceTable pieces_;
  BpeEncoder bpe_;
  AddedTokenMatcher raw_tokens_;         // matched before the normalizer
  AddedTokenMatcher normalized_tokens_;  // matched after it
  std::vector<bool> is_special_;         // [vocab]
};

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::FromJson(std::string_view json, const std::string& source) {
  return std::make_unique<BpeTokenizer>(ParseTokenizerJson(json, source));
}

std::unique_ptr<Tokenizer> Tokenizer::Load(const std::filesystem::path& tokenizer_json) {
  const MappedFile file(tokenizer_json);
  const auto bytes = file.bytes();
  return FromJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                  tokenizer_json.string());
}

std::vector<int32_t> EncodePrompt(const Tokenizer& tokenizer, std::string_view text) {
  const auto bos = tokenizer.TokenToId("<bos>");
  if (!bos) {
    Throw(ErrorCode::kUnsupported,
          "the tokenizer has no token '<bos>', which every Gemma prompt starts with");
  }
  std::vector<int32_t> ids = tokenizer.Encode(text);
  const auto first = std::find_if(ids.begin(), ids.end(), [&](int32_t id) { return id != *bos; });
  ids.erase(ids.begin(), first);
  ids.insert(ids.begin(), *bos);
  return ids;
}

}  // namespace talon
