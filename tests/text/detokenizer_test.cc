// The incremental detokenizer: whole characters only, and together exactly what Decode gives.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>

#include "talon/text/tokenizer.h"
#include "tests/support/test_data.h"
#include "tests/text/small_tokenizer.h"

namespace talon {
namespace {

constexpr int32_t kByte0 = 4;  // id of <0x00>
constexpr int32_t kA = 261;

TEST(IncrementalDetokenizerTest, HoldsBackACharacterSplitAcrossIds) {
  const auto tokenizer = Tokenizer::FromJson(test::SmallTokenizerJson().dump(), "small");
  IncrementalDetokenizer detokenizer(*tokenizer, true);
  EXPECT_EQ(detokenizer.Push(kA), "a");
  for (const int byte : {0xF0, 0x9F, 0x98, 0x80}) EXPECT_EQ(detokenizer.Push(kByte0 + byte), "");
  EXPECT_EQ(detokenizer.Push(kA), "😀a");
  EXPECT_EQ(detokenizer.Push(kByte0 + 0xC3), "");
  EXPECT_EQ(detokenizer.Push(1), "");  // a skipped special token
  EXPECT_EQ(detokenizer.Push(kByte0 + 0xA9), "");
  EXPECT_EQ(detokenizer.Finish(), "é");
  EXPECT_EQ(detokenizer.Finish(), "");
}

TEST(IncrementalDetokenizerTest, InvalidBytesBecomeReplacementCharacters) {
  const auto tokenizer = Tokenizer::FromJson(test::SmallTokenizerJson().dump(), "small");
  IncrementalDetokenizer detokenizer(*tokenizer, true);
  EXPECT_EQ(detokenizer.Push(kByte0 + 0xF0), "");
  EXPECT_EQ(detokenizer.Push(kA), "\uFFFDa");
  EXPECT_EQ(detokenizer.Push(kByte0 + 0x9F), "");
  EXPECT_EQ(detokenizer.Finish(), "\uFFFD");
}

TEST(IncrementalDetokenizerTest, AgreesWithDecodeOnRandomIds) {
  const auto tokenizer = Tokenizer::Load(test::TestData("tiny-gemma4/verifier/tokenizer.json"));
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const bool skip = round % 2 == 0;
    std::vector<int32_t> ids(1 + random() % 40);
    // Low ids are special tokens and byte pieces; a few lie outside the vocabulary.
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % (random() % 2 ? 272 : 8200));
    IncrementalDetokenizer detokenizer(*tokenizer, skip);
    std::string text;
    for (const int32_t id : ids) {
      const std::string pushed = detokenizer.Push(id);
      EXPECT_TRUE(simdjson::validate_utf8(pushed.data(), pushed.size()));
      text += pushed;
    }
    text += detokenizer.Finish();
    EXPECT_EQ(text, tokenizer->Decode(ids, skip));
  }
}

}  // namespace
}  // namespace talon
