// Reads tokenizer.json into tables, checking that it is made of the components Talon implements and
// that vocabulary, merges and added tokens fit together.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "talon/text/bpe.h"
#include "talon/text/piece_table.h"

namespace talon {

struct AddedToken {
  int64_t id;
  std::string content;
  bool special;
  bool normalized;  // matched after the normalizer instead of in the raw text
};

struct TokenizerTables {
  PieceTable pieces;  // the model's and the added tokens', ids without gaps
  MergeTable merges;
  std::array<int32_t, 256> byte_ids;  // ids of <0x00> to <0xFF>
  std::vector<AddedToken> added_tokens;
};

// Throws kDataLoss for a malformed file and kUnsupported for a component that Talon does not
// implement. The fields truncation, padding and post_processor change nothing here and are ignored.
TokenizerTables ParseTokenizerJson(std::string_view json, const std::string& source);

}  // namespace talon
