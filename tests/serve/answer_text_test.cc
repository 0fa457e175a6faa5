#include "talon/serve/answer_text.h"

#include <gtest/gtest.h>

#include "tests/serve/byte_tokenizer.h"

namespace talon {
namespace {

using test::ByteTokenizer;

class AnswerTextTest : public testing::Test {
 protected:
  // The whole text of `written`, in which markers may be spelled.
  TextDelta Read(const std::string& written, AnswerTextOptions options = {}) {
    options.reasoning = FindReasoningMarkers(tokenizer_);
    AnswerText text(tokenizer_, options);
    TextDelta all;
    const auto add = [&](const TextDelta& delta) {
      all.reasoning += delta.reasoning;
      all.content += delta.content;
    };
    for (const int32_t id : tokenizer_.Encode(written)) add(text.Push(id));
    add(text.Finish());
    stop_found_ = text.stop_found();
    reasoning_tokens_ = text.reasoning_tokens();
    return all;
  }

  ByteTokenizer tokenizer_;
  std::optional<std::string> stop_found_;
  int64_t reasoning_tokens_ = 0;
};

TEST_F(AnswerTextTest, PlainTextIsContent) {
  const TextDelta text = Read("thought\nhello");
  EXPECT_EQ(text.content, "thought\nhello");
  EXPECT_EQ(text.reasoning, "");
}

TEST_F(AnswerTextTest, SeparatesTheReasoningChannel) {
  const TextDelta text = Read("<|channel>thought\nLet me see.\n<channel|>It is 4.");
  EXPECT_EQ(text.reasoning, "Let me see.\n");
  EXPECT_EQ(text.content, "It is 4.");
  EXPECT_EQ(reasoning_tokens_, 20);  // "thought\n" and "Let me see.\n"
}

TEST_F(AnswerTextTest, AnEmptyThoughtIsNothing) {
  for (const char* written : {"<|channel>thought\n<channel|>Yes", "<|channel>thought<channel|>Yes",
                              "<|channel><channel|>Yes"}) {
    const TextDelta text = Read(written);
    EXPECT_EQ(text.reasoning, "") << written;
    EXPECT_EQ(text.content, "Yes") << written;
  }
}

TEST_F(AnswerTextTest, AChannelOfAnotherNameKeepsIt) {
  EXPECT_EQ(Read("<|channel>thoughts<channel|>").reasoning, "thoughts");
  EXPECT_EQ(Read("<|channel>thinking\nx<channel|>").reasoning, "thinking\nx");
}

TEST_F(AnswerTextTest, ReasoningThatIsCutStaysReasoning) {
  const TextDelta text = Read("<|channel>thought\nBecause");
  EXPECT_EQ(text.reasoning, "Because");
  EXPECT_EQ(text.content, "");
}

TEST_F(AnswerTextTest, MayBeginInsideTheChannel) {
  AnswerTextOptions options;
  options.starts_in_reasoning = true;
  const TextDelta text = Read("thought\nwhy<channel|>so", options);
  EXPECT_EQ(text.reasoning, "why");
  EXPECT_EQ(text.content, "so");
}

TEST_F(AnswerTextTest, StopStringsEndTheChannelTheyAreIn) {
  AnswerTextOptions options;
  options.stop = {"stop"};
  EXPECT_EQ(Read("one stop two", options).content, "one ");
  EXPECT_EQ(stop_found_, "stop");
  const TextDelta text = Read("<|channel>thought\nst<channel|>op!", options);
  EXPECT_EQ(text.reasoning, "st");
  EXPECT_EQ(text.content, "op!");
  EXPECT_FALSE(stop_found_);
}

TEST_F(AnswerTextTest, NeverGivesAPartOfACharacter) {
  AnswerText text(tokenizer_, {});
  const std::vector<int32_t> ids = tokenizer_.Encode("é");
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_TRUE(text.Push(ids[0]).empty());
  EXPECT_TRUE(text.Push(ids[1]).empty());
  EXPECT_EQ(text.Push(tokenizer_.Encode("!")[0]).content, "é!");
}

TEST_F(AnswerTextTest, SpecialTokensAreShownWhenAsked) {
  AnswerTextOptions options;
  options.skip_special_tokens = false;
  EXPECT_EQ(Read("a<turn|>", options).content, "a<turn|>");
  EXPECT_EQ(Read("a<turn|>").content, "a");
}

}  // namespace
}  // namespace talon
