// Encoding and decoding with a hand-made vocabulary whose results can be worked out by hand.
#include "talon/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "talon/base/error.h"
#include "tests/support/test_data.h"
#include "tests/text/small_tokenizer.h"

namespace talon {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int32_t kByte0 = 4;  // id of <0x00>
enum : int32_t { kSpace = 260, kA, kB, kC, kAb, kBc, kAbc, kSpaceA, kNewline, kX, kXy, kNm };

std::unique_ptr<Tokenizer> Small() {
  return Tokenizer::FromJson(test::SmallTokenizerJson().dump(), "small");
}

TEST(TokenizerTest, MergesTheBestPairFirstAndTheLeftmostOfEquals) {
  const auto tokenizer = Small();
  EXPECT_THAT(tokenizer->Encode(""), IsEmpty());
  EXPECT_THAT(tokenizer->Encode("ab"), ElementsAre(kAb));
  EXPECT_THAT(tokenizer->Encode("abc"), ElementsAre(kAbc));  // b+c, then a+bc
  EXPECT_THAT(tokenizer->Encode("abcabab"), ElementsAre(kAbc, kAb, kAb));
  EXPECT_THAT(tokenizer->Encode(" ab"), ElementsAre(kSpace, kAb));  // a+b beats ▁+a
  EXPECT_THAT(tokenizer->Encode(" a a"), ElementsAre(kSpaceA, kSpaceA));
  EXPECT_THAT(tokenizer->Encode("▁a"), ElementsAre(kSpaceA));
}

TEST(TokenizerTest, EqualPairsMergeFromTheLeft) {
  Json json = test::SmallTokenizerJson();
  json["model"]["vocab"]["aa"] = 272;
  json["model"]["merges"] = Json::parse(R"([["a", "a"]])");
  const auto tokenizer = Tokenizer::FromJson(json.dump(), "small");
  EXPECT_THAT(tokenizer->Encode("aaaaa"), ElementsAre(272, 272, kA));
}

TEST(TokenizerTest, MergesWrittenAsStringsMeanTheSame) {
  Json json = test::SmallTokenizerJson();
  json["model"]["merges"] = Json::array({"b c", "a b", "a bc", "▁ a"});
  const auto tokenizer = Tokenizer::FromJson(json.dump(), "small");
  EXPECT_THAT(tokenizer->Encode("abcab a"), ElementsAre(kAbc, kAb, kSpaceA));
}

TEST(TokenizerTest, UnknownCharactersBecomeBytePieces) {
  const auto tokenizer = Small();
  EXPECT_THAT(tokenizer->Encode("aéb"), ElementsAre(kA, kByte0 + 0xC3, kByte0 + 0xA9, kB));
  EXPECT_THAT(tokenizer->Encode("😀"),
              ElementsAre(kByte0 + 0xF0, kByte0 + 0x9F, kByte0 + 0x98, kByte0 + 0x80));
  EXPECT_THAT(tokenizer->Encode(std::string_view("\0", 1)), ElementsAre(kByte0));
}

TEST(TokenizerTest, AddedTokensAreLeftmostLongestInTheRawText) {
  const auto tokenizer = Small();
  EXPECT_THAT(tokenizer->Encode("<bos>ab<eos>"), ElementsAre(2, kAb, 1));
  EXPECT_THAT(tokenizer->Encode("<x><y>a<x>b"), ElementsAre(kXy, kA, kX, kB));
  // "<x><" starts like the longer token and falls back to the shorter one.
  EXPECT_THAT(tokenizer->Encode("<x><x>"), ElementsAre(kX, kX));
  EXPECT_THAT(tokenizer->Encode("a\n\nb"), ElementsAre(kA, kNewline, kNewline, kB));
  EXPECT_THAT(tokenizer->Encode("a\nb"), ElementsAre(kA, kNewline, kB));
}

TEST(TokenizerTest, NormalizedAddedTokensMatchAfterTheNormalizer) {
  const auto tokenizer = Small();
  EXPECT_THAT(tokenizer->Encode("a[n m]b"), ElementsAre(kA, kNm, kB));
  EXPECT_THAT(tokenizer->Encode("a[n▁m]b"), ElementsAre(kA, kNm, kB));
  EXPECT_EQ(tokenizer->vocab_size(), 272);
  EXPECT_EQ(tokenizer->TokenToId("[n m]"), kNm);
}

TEST(TokenizerTest, RefusesInvalidUtf8) {
  const auto tokenizer = Small();
  for (const std::string text : {"a\xFF", "\xC3", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xC0\x80"}) {
    EXPECT_THROW(tokenizer->Encode(text), Error);
  }
}

TEST(TokenizerTest, DecodesSpacesBytesAndSpecialTokens) {
  const auto tokenizer = Small();
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(" ab é😀 <x>"), false), " ab é😀 <x>");
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{2, kA, 1}, false), "<bos>a<eos>");
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{2, kA, 1}, true), "a");
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{-1, kA, 272, 1 << 30}, false), "a");
}

// The `tokenizers` library replaces every byte of a run that is not valid as a whole.
TEST(TokenizerTest, AnInvalidRunOfBytesBecomesReplacementCharacters) {
  const auto tokenizer = Small();
  const std::vector<int32_t> ids = {kA, kByte0 + 0x41, kByte0 + 0xC3, kB, kByte0 + 0x41};
  EXPECT_EQ(tokenizer->Decode(ids, false), "a\uFFFD\uFFFDbA");
  // A skipped special token does not end a run; a shown one does.
  const std::vector<int32_t> split = {kByte0 + 0xC3, 1, kByte0 + 0xA9};
  EXPECT_EQ(tokenizer->Decode(split, true), "é");
  EXPECT_EQ(tokenizer->Decode(split, false), "\uFFFD<eos>\uFFFD");
}

TEST(TokenizerTest, TokenBytesAreRaw) {
  const auto tokenizer = Small();
  EXPECT_EQ(tokenizer->TokenBytes(kSpaceA, false), " a");
  EXPECT_EQ(tokenizer->TokenBytes(kByte0 + 0xC3, false), "\xC3");
  EXPECT_TRUE(tokenizer->IsBytePiece(kByte0 + 0xC3));
  EXPECT_FALSE(tokenizer->IsBytePiece(kA));
  EXPECT_EQ(tokenizer->TokenBytes(1, false), "<eos>");
  EXPECT_EQ(tokenizer->TokenBytes(1, true), "");
  EXPECT_EQ(tokenizer->TokenBytes(kX, true), "<x>");  // added, but not special
  EXPECT_EQ(tokenizer->TokenBytes(-5, false), "");
}

TEST(TokenizerTest, LooksUpTokens) {
  const auto tokenizer = Small();
  EXPECT_EQ(tokenizer->TokenToId("abc"), kAbc);
  EXPECT_EQ(tokenizer->TokenToId("nothing"), std::nullopt);
  EXPECT_EQ(tokenizer->IdToToken(kSpaceA), "▁a");
  EXPECT_THROW(tokenizer->IdToToken(272), Error);
  EXPECT_THROW(tokenizer->IdToToken(-1), Error);
  EXPECT_TRUE(tokenizer->IsSpecial(2));
  EXPECT_FALSE(tokenizer->IsSpecial(kX));
  EXPECT_FALSE(tokenizer->IsSpecial(1 << 30));
}

TEST(TokenizerTest, PromptsHaveExactlyOneBos) {
  const auto tokenizer = Small();
  EXPECT_THAT(EncodePrompt(*tokenizer, "ab"), ElementsAre(2, kAb));
  EXPECT_THAT(EncodePrompt(*tokenizer, "<bos>ab"), ElementsAre(2, kAb));
  EXPECT_THAT(EncodePrompt(*tokenizer, "<bos><bos>ab"), ElementsAre(2, kAb));
  EXPECT_THAT(EncodePrompt(*tokenizer, ""), ElementsAre(2));
  EXPECT_THAT(EncodePrompt(*tokenizer, "a<bos>"), ElementsAre(2, kA, 2));
}

// Merging by the definition, one pair at a time: slow, and independent of the heap.
std::vector<std::string> MergeByDefinition(std::vector<std::string> symbols, const Json& merges) {
  for (;;) {
    size_t best_rank = merges.size();
    size_t best = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (merges[rank][0] == symbols[i] && merges[rank][1] == symbols[i + 1]) {
          best_rank = rank;
          best = i;
        }
      }
    }
    if (best_rank == merges.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<int64_t>(best) + 1);
  }
}

TEST(TokenizerTest, AgreesWithTheDefinitionOnRandomText) {
  const Json json = test::SmallTokenizerJson();
  const auto tokenizer = Small();
  const std::vector<std::string> alphabet = {"a", "b", "c", "▁"};
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> symbols(1 + random() % 60);
    for (auto& symbol : symbols) symbol = alphabet[random() % alphabet.size()];
    std::string text;
    for (const auto& symbol : symbols) text += symbol;
    std::vector<std::string> pieces;
    for (const int32_t id : tokenizer->Encode(text)) pieces.push_back(tokenizer->IdToToken(id));
    EXPECT_EQ(pieces, MergeByDefinition(symbols, json["model"]["merges"])) << text;
  }
}

TEST(TokenizerTest, AMegabyteInOneSpan) {
  const auto tokenizer = Small();
  std::string text;
  std::vector<int32_t> expected;
  while (text.size() < (size_t{1} << 20)) {
    text += "abcab";
    expected.insert(expected.end(), {kAbc, kAb});
  }
  EXPECT_EQ(tokenizer->Encode(text), expected);
  EXPECT_EQ(tokenizer->Decode(expected, false), text);
  // Nearly-matching added tokens at every position.
  const std::string almost(size_t{1} << 20, '<');
  EXPECT_EQ(tokenizer->Encode(almost), std::vector<int32_t>(almost.size(), kByte0 + '<'));
}

TEST(TokenizerTest, ThreadsShareATokenizer) {
  const auto tokenizer = Tokenizer::Load(test::TestData("tiny-gemma4/verifier/tokenizer.json"));
  const std::string text = "The quick brown fox; naïve café 👋🏽\n\n<|turn>user\n";
  const auto expected = tokenizer->Encode(text);
  std::vector<int> differences(4);
  std::vector<std::thread> threads;
  for (int& count : differences) {
    threads.emplace_back([&tokenizer, &text, &expected, &count] {
      for (int i = 0; i < 50; ++i) {
        count += tokenizer->Encode(text) != expected || tokenizer->Decode(expected, false) != text;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(differences, testing::Each(0));
}

}  // namespace
}  // namespace talon
