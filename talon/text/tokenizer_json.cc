#include "talon/text/tokenizer_json.h"

#include <simdjson.h>

#include <optional>

#include "talon/base/error.h"
#include "talon/text/json_fields.h"

namespace talon {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // "▁"

// The pipeline around the model: Replace " " by "▁", a split that never happens, and its inverse.
void CheckReplace(const JsonFields& component, std::string_view from, std::string_view to) {
  component.Expect("type", "Replace");
  component.Object("pattern").Expect("String", from);
  component.Expect("content", to);
}

void CheckPipeline(const JsonFields& file) {
  CheckReplace(file.Object("normalizer"), " ", kSpaceMark);
  if (file.Has("pre_tokenizer")) {
    // The normalizer leaves no space, so a split on spaces changes nothing.
    const JsonFields split = file.Object("pre_tokenizer");
    split.Expect("type", "Split");
    split.Object("pattern").Expect("String", " ");
    split.Expect("invert", false);
  }
  const JsonFields decoder = file.Object("decoder");
  decoder.Expect("type", "Sequence");
  const std::vector<JsonFields> steps = decoder.Objects("decoders");
  if (steps.size() != 3) {
    Throw(ErrorCode::kUnsupported, "{}: has {} steps; Talon implements Replace, ByteFallback, Fuse",
          decoder.Path("decoders"), steps.size());
  }
  CheckReplace(steps[0], kSpaceMark, " ");
  steps[1].Expect("type", "ByteFallback");
  steps[2].Expect("type", "Fuse");
}

void CheckModel(const JsonFields& model) {
  model.Expect("type", "BPE");
  model.Expect("byte_fallback", true);
  model.Expect("ignore_merges", false);
  for (const char* field : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    model.Expect(field, "");
  }
  if (model.Has("dropout")) {
    Throw(ErrorCode::kUnsupported, "{}: is set; Talon encodes without dropout",
          model.Path("dropout"));
  }
}

std::vector<AddedToken> ReadAddedTokens(const JsonFields& file) {
  std::vector<AddedToken> tokens;
  for (const JsonFields& entry : file.Objects("added_tokens")) {
    for (const char* field : {"lstrip", "rstrip", "single_word"}) entry.Expect(field, false);
    AddedToken token = {.id = entry.Integer("id"),
                        .content = std::string(entry.String("content")),
                        .special = entry.Bool("special"),
                        .normalized = entry.Bool("normalized")};
    if (token.content.empty()) {
      Throw(ErrorCode::kDataLoss, "{}: is empty", entry.Path("content"));
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// Pieces by id while they are collected; empty where no piece has the id yet.
class PiecesById {
 public:
  // Ids lie below `most`, the number of entries that could have one.
  PiecesById(size_t most, std::string path) : pieces_(most), path_(std::move(path)) {}

  // The piece that has `id` so far; throws for an id that no gapless vocabulary of this size has.
  std::optional<std::string_view>& At(int64_t id, std::string_view piece) {
    if (id < 0 || id >= static_cast<int64_t>(pieces_.size())) {
      Throw(ErrorCode::kDataLoss, "{}: piece '{}' has id {}, outside 0 to {}", path_, piece, id,
            static_cast<int64_t>(pieces_.size()) - 1);
    }
    return pieces_[static_cast<size_t>(id)];
  }

  // Every id up to the largest must have its own piece.
  PieceTable Finish() {
    while (!pieces_.empty() && !pieces_.back()) pieces_.pop_back();
    PieceTable table(pieces_.size());
    for (size_t id = 0; id < pieces_.size(); ++id) {
      if (!pieces_[id]) Throw(ErrorCode::kDataLoss, "{}: no piece has id {}", path_, id);
      if (!table.Add(*pieces_[id])) {
        Throw(ErrorCode::kDataLoss, "{}: piece '{}' has two ids, {} and {}", path_, *pieces_[id],
              *table.Find(*pieces_[id]), id);
      }
    }
    return table;
  }

 private:
  std::vector<std::optional<std::string_view>> pieces_;
  std::string path_;
};

PieceTable ReadPieces(const JsonFields& model, const std::vector<AddedToken>& added_tokens) {
  const object vocab = model.RawObject("vocab");
  const std::string path = model.Path("vocab");
  PiecesById pieces(vocab.size() + added_tokens.size(), path);
  for (const auto field : vocab) {
    int64_t id;
    if (field.value.get(id) != simdjson::SUCCESS) {
      Throw(ErrorCode::kDataLoss, "{}: the id of piece '{}' is not an integer", path, field.key);
    }
    if (field.key.empty()) Throw(ErrorCode::kDataLoss, "{}: holds an empty piece", path);
    auto& piece = pieces.At(id, field.key);
    if (piece) {
      Throw(ErrorCode::kDataLoss, "{}: id {} belongs to both '{}' and '{}'", path, id, *piece,
            field.key);
    }
    piece = field.key;
  }
  for (const AddedToken& token : added_tokens) {
    auto& piece = pieces.At(token.id, token.content);
    if (piece && *piece != token.content) {
      Throw(ErrorCode::kDataLoss, "{}: id {} is '{}', but added_tokens calls it '{}'", path,
            token.id, *piece, token.content);
    }
    piece = token.content;
  }
  return pieces.Finish();
}

// Both spellings of a merge: ["a", "b"] and "a b".
std::optional<std::pair<std::string_view, std::string_view>> SplitMerge(const element& merge) {
  if (std::string_view text; merge.get(text) == simdjson::SUCCESS) {
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return std::nullopt;
    }
    return std::pair(text.substr(0, space), text.substr(space + 1));
  }
  array pair;
  std::string_view left;
  std::string_view right;
  if (merge.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
      pair.at(0).get(left) != simdjson::SUCCESS || pair.at(1).get(right) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  return std::pair(left, right);
}

MergeTable ReadMerges(const JsonFields& model, const PieceTable& pieces) {
  const array merges = model.RawArray("merges");
  MergeTable table(merges.size());
  std::string merged;
  int32_t rank = 0;
  const auto path = [&] { return model.Path(fmt::format("merges[{}]", rank)); };
  const auto id_of = [&](std::string_view piece) {
    const auto id = pieces.Find(piece);
    if (!id) Throw(ErrorCode::kDataLoss, "{}: piece '{}' is not in the vocabulary", path(), piece);
    return *id;
  };
  for (const element merge : merges) {
    const auto pair = SplitMerge(merge);
    if (!pair) {
      Throw(ErrorCode::kDataLoss, "{}: is neither [\"a\", \"b\"] nor \"a b\"", path());
    }
    const int32_t left = id_of(pair->first);
    const int32_t right = id_of(pair->second);
    merged.assign(pair->first).append(pair->second);
    table.Set(left, right, {rank, id_of(merged)});
    ++rank;
  }
  return table;
}

std::array<int32_t, 256> ReadByteIds(const JsonFields& model, const PieceTable& pieces) {
  std::array<int32_t, 256> ids;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string piece = fmt::format("<0x{:02X}>", byte);
    const auto id = pieces.Find(piece);
    if (!id) {
      Throw(ErrorCode::kDataLoss,
            "{}: byte piece '{}' is missing; byte_fallback needs <0x00> to <0xFF>",
            model.Path("vocab"), piece);
    }
    ids[static_cast<size_t>(byte)] = *id;
  }
  return ids;
}

}  // namespace

TokenizerTables ParseTokenizerJson(std::string_view json, const std::string& source) {
  simdjson::dom::parser parser;
  element root;
  const auto error = parser.parse(json.data(), json.size()).get(root);
  if (error != simdjson::SUCCESS) {
    Throw(ErrorCode::kDataLoss, "{}: not valid JSON: {}", source, simdjson::error_message(error));
  }
  const JsonFields file = JsonFields::Root(root, source);
  CheckPipeline(file);
  const JsonFields model = file.Object("model");
  CheckModel(model);
  std::vector<AddedToken> added_tokens = ReadAddedTokens(file);
  PieceTable pieces = ReadPieces(model, added_tokens);
  MergeTable merges = ReadMerges(model, pieces);
  const auto byte_ids = ReadByteIds(model, pieces);
  return {std::move(pieces), std::move(merges), byte_ids, std::move(added_tokens)};
}

}  // namespace talon
