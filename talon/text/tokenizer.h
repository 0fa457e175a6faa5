// Hugging Face tokenizer.json with a BPE model, byte fallback and added tokens (Gemma). Exact
// against the `tokenizers` library for the components Gemma uses; other components are refused by
// name. Source: specs/gemma.md 4.1, 4.2.
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
  virtual ~Tokenizer() = default;

  // Ids of `text` (UTF-8; invalid bytes are refused with kInvalidArgument). Special tokens written
  // in the text are recognized; nothing is added. BOS is the caller's business (chat formats write
  // it).
  virtual std::vector<int32_t> Encode(std::string_view text) const = 0;
  virtual std::string Decode(std::span<const int32_t> ids, bool skip_special_tokens) const = 0;
  // The raw bytes one id stands for when decoded in the middle of a text (" " for "▁", one byte for
  // "<0x..>"); empty for special tokens when skipped.
  virtual std::string TokenBytes(int32_t id, bool skip_special_tokens) const = 0;

  virtual std::optional<int32_t> TokenToId(std::string_view token) const = 0;
  virtual std::string IdToToken(int32_t id) const = 0;
  virtual bool IsSpecial(int32_t id) const = 0;
  // Largest id plus one.
  virtual int32_t vocab_size() const = 0;
};

// Turns a stream of ids into text that never ends inside a character: bytes of an incomplete UTF-8
// sequence are held back until they are complete or known to be invalid.
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
  std::string pending_;
};

}  // namespace talon
