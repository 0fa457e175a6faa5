// Prompts from data rows: chat rendering, the context limit, categories' quotas, later turns.
#include "talon/eval/eval_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "talon/base/error.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

PromptRow Row(const std::string& id, const std::string& category,
              const std::vector<std::string>& turns) {
  PromptRow row;
  row.id = id;
  row.category = category;
  row.turns = turns;
  return row;
}

class EvalDataTest : public testing::Test {
 protected:
  std::string Text(const EvalPrompt& prompt) const {
    return tokenizer_->Decode(prompt.tokens, /*skip_special_tokens=*/false);
  }

  std::unique_ptr<Tokenizer> tokenizer_ =
      Tokenizer::Load(test::TestData("tiny-gemma4/verifier/tokenizer.json"));
  EvalDataOptions options_ = {
      .chat_format = ChatFormat::kGemma4, .max_positions = 2048, .reserved_tokens = 134};
};

TEST_F(EvalDataTest, RendersTheFirstTurn) {
  const EvalData data({Row("a", "qa", {"Who?", "Why?"})}, *tokenizer_, options_);
  ASSERT_EQ(data.first_turns().size(), 1u);
  const EvalPrompt& prompt = data.first_turns()[0];
  EXPECT_EQ(prompt.id, "a");
  EXPECT_EQ(prompt.category, "qa");
  EXPECT_EQ(Text(prompt), "<bos><|turn>user\nWho?<turn|>\n<|turn>model\n");
}

TEST_F(EvalDataTest, AsksLaterTurnsAfterTheAnswer) {
  options_.all_turns = true;
  EvalData data({Row("a", "qa", {"Who?", "Why?"})}, *tokenizer_, options_);
  std::vector<int32_t> answer = tokenizer_->Encode("Me.");
  answer.push_back(*tokenizer_->TokenToId("<turn|>"));
  const auto next = data.NextTurn(data.first_turns()[0], answer);
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->id, "a#2");
  EXPECT_EQ(next->key, (TraceKey{0, 1}));
  EXPECT_EQ(Text(*next),
            "<bos><|turn>user\nWho?<turn|>\n<|turn>model\nMe.<turn|>\n<|turn>user\nWhy?<turn|>\n"
            "<|turn>model\n");
  EXPECT_FALSE(data.NextTurn(*next, answer).has_value());
}

TEST_F(EvalDataTest, FirstTurnsOnlyUnlessAsked) {
  EvalData data({Row("a", "qa", {"Who?", "Why?"})}, *tokenizer_, options_);
  EXPECT_FALSE(data.NextTurn(data.first_turns()[0], tokenizer_->Encode("Me.")).has_value());
}

TEST_F(EvalDataTest, ListsWhatDoesNotFitAndNeverCuts) {
  std::string longer;
  for (int i = 0; i < 3000; ++i) longer += "word ";
  const std::vector<PromptRow> rows = {Row("long", "qa", {longer}), Row("a", "qa", {"Who?"}),
                                       Row("b", "qa", {"What?"}), Row("c", "rag", {"Where?"})};
  options_.max_prompts = 1;
  const EvalData data(rows, *tokenizer_, options_);
  ASSERT_EQ(data.first_turns().size(), 2u);  // the first of each category that fits
  EXPECT_EQ(data.first_turns()[0].id, "a");
  EXPECT_EQ(data.first_turns()[0].key, (TraceKey{1, 0}));
  EXPECT_EQ(data.first_turns()[1].id, "c");
  ASSERT_EQ(data.skipped().size(), 1u);
  EXPECT_EQ(data.skipped()[0].id, "long");
  EXPECT_GT(data.skipped()[0].prompt_tokens, 2048 - 134);
}

// A prompt fits when exactly the reserved tokens are left.
TEST_F(EvalDataTest, TheLimitIsExact) {
  const auto tokens = [&](int64_t max_positions) {
    options_.max_positions = max_positions;
    return EvalData({Row("a", "qa", {"Who?"})}, *tokenizer_, options_).first_turns()[0].tokens;
  };
  const auto size = static_cast<int64_t>(tokens(2048).size());
  EXPECT_NO_THROW(tokens(size + 134));
  EXPECT_THROW(tokens(size + 133), Error);
}

TEST_F(EvalDataTest, DropsAnswersAtTheEndOfMessages) {
  PromptRow row;
  row.id = "m";
  row.category = "chat";
  row.messages = Json::parse(R"([{"role":"user","content":"Who?"},
      {"role":"assistant","content":"Me."},{"role":"user","content":"Why?"},
      {"role":"assistant","content":"Because."}])");
  const EvalData data({row}, *tokenizer_, options_);
  EXPECT_EQ(Text(data.first_turns()[0]),
            "<bos><|turn>user\nWho?<turn|>\n<|turn>model\nMe.<turn|>\n<|turn>user\nWhy?<turn|>\n"
            "<|turn>model\n");
}

TEST_F(EvalDataTest, BaseModelsTakeRawText) {
  options_.chat_format.reset();
  const EvalData data({Row("a", "qa", {"Who?"})}, *tokenizer_, options_);
  EXPECT_EQ(Text(data.first_turns()[0]), "<bos>Who?");
  options_.all_turns = true;
  EXPECT_THROW(EvalData({Row("a", "qa", {"Who?"})}, *tokenizer_, options_), Error);
}

TEST_F(EvalDataTest, IdentityDependsOnEveryRow) {
  const auto identity = [&](const std::vector<PromptRow>& rows) {
    return EvalData(rows, *tokenizer_, options_).identity();
  };
  const PromptRow a = Row("a", "qa", {"Who?"});
  const PromptRow b = Row("b", "qa", {"What?"});
  EXPECT_EQ(identity({a, b}), identity({a, b}));
  EXPECT_NE(identity({a, b}), identity({b, a}));
  EXPECT_NE(identity({a, b}), identity({a}));
  EXPECT_NE(identity({a}), identity({Row("a", "qa", {"Who?", "Why?"})}));
  EXPECT_NE(identity({a}), identity({Row("a", "rag", {"Who?"})}));
}

}  // namespace
}  // namespace talon
