// Ids and texts of the `tokenizers` library for the real Gemma 3 vocabulary and for the small one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "talon/base/json.h"
#include "talon/text/tokenizer.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::SharedPath;
using test::TestData;

std::string DetokenizeInSteps(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                              bool skip_special_tokens) {
  IncrementalDetokenizer detokenizer(tokenizer, skip_special_tokens);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.Push(id);
  return text + detokenizer.Finish();
}

void ExpectCase(const Tokenizer& tokenizer, const Json& row) {
  const auto text = row.at("text").get<std::string>();
  const auto ids = row.at("ids").get<std::vector<int32_t>>();
  const auto decoded = row.at("decoded").get<std::string>();
  SCOPED_TRACE(text.substr(0, 80));
  EXPECT_EQ(tokenizer.Encode(text), ids);
  EXPECT_EQ(tokenizer.Decode(ids, false), decoded);
  EXPECT_EQ(DetokenizeInSteps(tokenizer, ids, false), decoded);
  if (row.contains("decoded_skip_special")) {
    const auto skipped = row.at("decoded_skip_special").get<std::string>();
    EXPECT_EQ(tokenizer.Decode(ids, true), skipped);
    EXPECT_EQ(DetokenizeInSteps(tokenizer, ids, true), skipped);
  }
}

TEST(TokenizerFixtureTest, SmallVocabulary) {
  const auto tokenizer = Tokenizer::Load(TestData("tiny-gemma4/verifier/tokenizer.json"));
  EXPECT_EQ(tokenizer->vocab_size(), 8192);
  const Json rows = ReadJsonFile(TestData("eagle3-tiny/tokenizer.json"));
  ASSERT_FALSE(rows.empty());
  for (const Json& row : rows) ExpectCase(*tokenizer, row);
}

class Gemma3TokenizerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto path = SharedPath("models/gemma3-tokenizer/tokenizer.json");
    if (std::filesystem::exists(path)) tokenizer_ = Tokenizer::Load(path).release();
  }
  static void TearDownTestSuite() {
    delete tokenizer_;
    tokenizer_ = nullptr;
  }
  static const Tokenizer* tokenizer_;
};
const Tokenizer* Gemma3TokenizerTest::tokenizer_ = nullptr;

TEST_F(Gemma3TokenizerTest, AllTextsOfTheFixture) {
  const auto fixture = SharedPath("fixtures/tokenizer-gemma3.json");
  TALON_REQUIRE_PATH(fixture);
  TALON_REQUIRE_PATH(SharedPath("models/gemma3-tokenizer/tokenizer.json"));
  const Json rows = ReadJsonFile(fixture).at("texts");
  ASSERT_EQ(rows.size(), 268u);
  for (const Json& row : rows) ExpectCase(*tokenizer_, row);
}

// specs/gemma.md 4.3 and 4.7.
TEST_F(Gemma3TokenizerTest, KnownIds) {
  TALON_REQUIRE_PATH(SharedPath("models/gemma3-tokenizer/tokenizer.json"));
  EXPECT_EQ(tokenizer_->vocab_size(), 262145);
  EXPECT_EQ(tokenizer_->TokenToId("<image_soft_token>"), 262144);
  EXPECT_THAT(tokenizer_->Encode("<bos><start_of_turn>user\n"),
              testing::ElementsAre(2, 105, 2364, 107));
  EXPECT_THAT(tokenizer_->Encode("Hello world! Café déjà vu — 123 😊"),
              testing::ElementsAre(9259, 1902, 236888, 62367, 29234, 11042, 2192, 236743, 236770,
                                   236778, 236800, 103453));
}

}  // namespace
}  // namespace talon
