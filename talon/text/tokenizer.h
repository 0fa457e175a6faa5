// Hugging Face tokenizer.json with a BPE model, byte fallback and added tokens (Gemma). Exact
// against the `tokenizers` library for the components Gemma uses; other components are refused by
// name. Every const method may be called from several threads at once. Source:
// specs/gemma.md 4.1, 4.2.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace talon {

class Tokenizer {
 public:
  // Throws kNotFound, kDataLoss or kUnsupported naming the file and the component.
  static std::unique_ptr<Tokenizer> Load(const std::filesystem::path& tokenizer_json);
  // The same from the file's text; `source` names it in errors.
  static std::unique_ptr<Tokenizer> FromJson(std::string_view json, const std::string& source);
  virtual ~Tokenizer() = default;

  // Ids of `text` (UTF-8; invalid bytes are refused with kInvalidArgument). Special tokens written
  // in the text are recognized; nothing is added. BOS is the caller's business (chat formats write
  // it).
  virtual std::vector<int32_t> Encode(std::string_view text) const = 0;
  // Text of `ids`. As in the `tokenizers` library, ids outside the vocabulary give nothing, and in
  // a run of byte pieces that is not valid UTF-8 every byte becomes U+FFFD.
  virtual std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens) const = 0;
  // The raw bytes one id stands for when decoded in the middle of a text (" " for "▁", one byte for
  // "<0x..>"); empty for special tokens when skipped and for ids outside the vocabulary.
  virtual std::string TokenBytes(int32_t id, bool skip_special_tokens) const = 0;
  // Whether `id` is a byte piece ("<0x..>"), whose bytes make characters only in a run.
  virtual bool IsBytePiece(int32_t id) const = 0;

  virtual std::optional<int32_t> TokenToId(std::string_view token) const = 0;
  // Throws kInvalidArgument for an id outside the vocabulary.
  virtual std::string IdToToken(int32_t id) const = 0;
  virtual bool IsSpecial(int32_t id) const = 0;
  // Largest id plus one.
  virtual int32_t vocab_size() const = 0;
};

// Ids of a whole prompt with exactly one BOS ("<bos>") at position 0, whether or not `text` starts
// with it. Throws kUnsupported when the tokenizer has no such token.
std::vector<int32_t> EncodePrompt(const Tokenizer& tokenizer, std::string_view text);

// Turns a stream of ids into text that never ends inside a character. The text of all Push calls
// and Finish equals Decode of all ids; therefore a run of byte pieces is held back until it ends,
// since a later byte decides whether the run is valid UTF-8.
class IncrementalDetokenizer {
 public:
  IncrementalDetokenizer(const Tokenizer& tokenizer, bool skip_special_tokens);
  // Text that became final by adding `id`.
  std::string Push(int32_t id);
  // What is left at the end (invalid bytes as U+FFFD).
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_tokens_;
  std::string pending_;  // bytes of the byte pieces since the last other piece
};

}  // namespace talon
