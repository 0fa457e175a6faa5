#include "tests/text/small_tokenizer.h"

#include <fmt/format.h>

namespace talon::test {
namespace {

Json AddedToken(const std::string& content, int id, bool special, bool normalized) {
  return {{"id", id},        {"content", content},       {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", normalized}, {"special", special}};
}

Json Replace(const std::string& from, const std::string& to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

}  // namespace

Json SmallTokenizerJson() {
  Json vocab = Json::object();
  const auto add = [&](const std::string& piece) {
    const auto id = static_cast<int>(vocab.size());
    vocab[piece] = id;
    return id;
  };
  Json added = Json::array();
  for (const char* piece : {"<pad>", "<eos>", "<bos>", "<unk>"}) {
    added.push_back(AddedToken(piece, add(piece), true, false));
  }
  for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte));
  for (const char* piece : {"▁", "a", "b", "c", "ab", "bc", "abc", "▁a"}) add(piece);
  added.push_back(AddedToken("\n", add("\n"), false, false));
  added.push_back(AddedToken("<x>", add("<x>"), false, false));
  added.push_back(AddedToken("<x><y>", add("<x><y>"), false, false));
  added.push_back(AddedToken("[n m]", 271, false, true));  // not in the model's vocabulary
  Json merges = Json::parse(R"([["b", "c"], ["a", "b"], ["a", "bc"], ["▁", "a"]])");
  const Json decoders =
      Json::array({Replace("▁", " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", Replace(" ", "▁")},
          {"pre_tokenizer",
           {{"type", "Split"},
            {"pattern", {{"String", " "}}},
            {"behavior", "MergedWithPrevious"},
            {"invert", false}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", "<unk>"},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"ignore_merges", false},
            {"vocab", vocab},
            {"merges", merges}}}};
}

}  // namespace talon::test
