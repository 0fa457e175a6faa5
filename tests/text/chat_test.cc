// The chat formats against transcripts of the published templates, their errors and recognition.
#include "talon/text/chat.h"

#include <gtest/gtest.h>

#include <fstream>

#include "talon/base/error.h"
#include "talon/text/tokenizer.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::SharedPath;
using test::TestData;

ChatOptions OptionsOf(const Json& row) {
  ChatOptions options;
  options.add_generation_prompt = row.at("add_generation_prompt").get<bool>();
  options.enable_thinking = row.value("enable_thinking", false);
  options.tools = row.value("tools", Json());
  return options;
}

TEST(Gemma4ChatTest, AllCasesOfThePublishedTemplate) {
  const Json cases = ReadJsonFile(TestData("chat-gemma4.json")).at("cases");
  ASSERT_EQ(cases.size(), 19u);
  for (const Json& row : cases) {
    SCOPED_TRACE(row.at("name").get<std::string>());
    EXPECT_EQ(RenderChat(ChatFormat::kGemma4EmptyThought, row.at("messages"), OptionsOf(row)),
              row.at("text").get<std::string>());
  }
}

// The small models' template differs by the empty thought alone.
TEST(Gemma4ChatTest, SmallModelsAppendNoEmptyThought) {
  const std::string thought = "<|channel>thought\n<channel|>";
  const Json cases = ReadJsonFile(TestData("chat-gemma4.json")).at("cases");
  for (const Json& row : cases) {
    SCOPED_TRACE(row.at("name").get<std::string>());
    auto text = row.at("text").get<std::string>();
    if (text.ends_with(thought)) text.resize(text.size() - thought.size());
    EXPECT_EQ(RenderChat(ChatFormat::kGemma4, row.at("messages"), OptionsOf(row)), text);
  }
}

TEST(Gemma4ChatTest, ArgumentsMayBeAStringThatHoldsJson) {
  const Json messages = Json::parse(R"([
    {"role": "user", "content": "Go"},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
      "function": {"name": "f", "arguments": "{\"B\": [1, null], \"a\": {\"k\": 1e-5}}"}}]},
    {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": " x "}]}])");
  EXPECT_EQ(RenderChat(ChatFormat::kGemma4, messages, {}),
            "<bos><|turn>user\nGo<turn|>\n<|turn>model\n"
            "<|tool_call>call:f{a:{k:1e-05},B:[1,None]}<tool_call|>"
            "<|tool_response>response:f{value:<|\"|> x <|\"|>}<tool_response|>");
}

TEST(Gemma3ChatTest, AllTranscriptsOfThePublishedTemplate) {
  const auto fixture = SharedPath("fixtures/tokenizer-gemma3.json");
  TALON_REQUIRE_PATH(fixture);
  const Json rows = ReadJsonFile(fixture).at("chats");
  ASSERT_EQ(rows.size(), 12u);
  for (const Json& row : rows) {
    SCOPED_TRACE(row.dump());
    const Json& messages = row.at("messages");
    if (row.at("rendered").is_null()) {
      EXPECT_THROW(RenderChat(ChatFormat::kGemma3, messages, OptionsOf(row)), Error);
    } else {
      EXPECT_EQ(RenderChat(ChatFormat::kGemma3, messages, OptionsOf(row)),
                row.at("rendered").get<std::string>());
    }
  }
}

TEST(Gemma3ChatTest, SystemTextOpensTheFirstUserTurn) {
  const Json messages = Json::parse(R"([
    {"role": "system", "content": "Be brief."}, {"role": "user", "content": " Why? "},
    {"role": "assistant", "content": "Because.\n"}, {"role": "user", "content": "\u3000Oh\u00a0"}])");
  EXPECT_EQ(RenderChat(ChatFormat::kGemma3, messages, {}),
            "<bos><start_of_turn>user\nBe brief.\n\nWhy?<end_of_turn>\n"
            "<start_of_turn>model\nBecause.<end_of_turn>\n"
            "<start_of_turn>user\nOh<end_of_turn>\n<start_of_turn>model\n");
}

TEST(ChatTest, RenderedChatsHaveOneBos) {
  const auto tokenizer = Tokenizer::Load(TestData("tiny-gemma4/verifier/tokenizer.json"));
  const Json messages = Json::parse(R"([{"role": "user", "content": "hi"}])");
  const auto ids = EncodePrompt(*tokenizer, RenderChat(ChatFormat::kGemma4, messages, {}));
  EXPECT_EQ(ids, tokenizer->Encode("<bos><|turn>user\nhi<turn|>\n<|turn>model\n"));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *tokenizer->TokenToId("<bos>")), 1);
}

TEST(ChatTest, FormatNames) {
  for (const auto format :
       {ChatFormat::kGemma3, ChatFormat::kGemma4, ChatFormat::kGemma4EmptyThought}) {
    EXPECT_EQ(ParseChatFormat(Name(format)), format);
  }
  EXPECT_THROW(ParseChatFormat("chatml"), Error);
}

void ExpectRefused(const std::string& part, ChatFormat format, const std::string& messages,
                   const std::string& tools = "null") {
  SCOPED_TRACE(messages + " " + tools);
  ChatOptions options;
  options.tools = Json::parse(tools);
  try {
    RenderChat(format, Json::parse(messages), options);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    EXPECT_NE(error.code(), ErrorCode::kInternal);
  }
}

TEST(ChatErrorsTest, MessagesAreCheckedInEveryFormat) {
  for (const auto format : {ChatFormat::kGemma3, ChatFormat::kGemma4}) {
    ExpectRefused("messages is not a list", format, "{}");
    ExpectRefused("messages is not a list", format, "[]");
    ExpectRefused("messages[0] is not an object", format, "[1]");
    ExpectRefused("messages[0].role is missing", format, R"([{"content": "x"}])");
    ExpectRefused("messages[0].role is not a string", format, R"([{"role": 3, "content": "x"}])");
    ExpectRefused("messages[1].role is 'bot'", format,
                  R"([{"role": "user", "content": "x"}, {"role": "bot", "content": "x"}])");
    ExpectRefused("messages[0].content is missing", format, R"([{"role": "user"}])");
    ExpectRefused("messages[0].content is missing", format,
                  R"([{"role": "user", "content": null}])");
    ExpectRefused("messages[0].content is neither", format, R"([{"role": "user", "content": 5}])");
    ExpectRefused("messages[0].content[1].type is 'image_url'", format,
                  R"([{"role": "user", "content": [{"type": "text", "text": "a"},
                       {"type": "image_url", "image_url": {"url": "x"}}]}])");
    ExpectRefused("messages[0].content[0].type is 'input_audio'", format,
                  R"([{"role": "user", "content": [{"type": "input_audio"}]}])");
    ExpectRefused("messages[0].content[0].text is missing", format,
                  R"([{"role": "user", "content": [{"type": "text"}]}])");
    ExpectRefused("messages[0].content[0].type is missing", format,
                  R"([{"role": "user", "content": ["a"]}])");
  }
}

TEST(ChatErrorsTest, Gemma3) {
  ExpectRefused("messages[1].role is 'user', expected 'assistant'", ChatFormat::kGemma3,
                R"([{"role": "user", "content": "x"}, {"role": "user", "content": "y"}])");
  ExpectRefused("messages[0].role is 'assistant', expected 'user'", ChatFormat::kGemma3,
                R"([{"role": "assistant", "content": "x"}])");
  ExpectRefused("messages[0].role is 'tool'", ChatFormat::kGemma3,
                R"([{"role": "tool", "content": "x"}])");
  ExpectRefused("no user message", ChatFormat::kGemma3, R"([{"role": "system", "content": "x"}])");
  ExpectRefused("has no tools", ChatFormat::kGemma3, R"([{"role": "user", "content": "x"}])",
                "[{}]");
  ChatOptions thinking;
  thinking.enable_thinking = true;
  EXPECT_THROW(RenderChat(ChatFormat::kGemma3, Json::parse(R"([{"role": "user", "content": "x"}])"),
                          thinking),
               Error);
}

TEST(ChatErrorsTest, Gemma4Tools) {
  const auto format = ChatFormat::kGemma4;
  const std::string user = R"([{"role": "user", "content": "x"}])";
  ExpectRefused("tools is not a list", format, user, R"({"a": 1})");
  ExpectRefused("tools[0].function is not an object", format, user, "[{}]");
  ExpectRefused("tools[0].function.name is missing", format, user, R"([{"function": {}}])");
  ExpectRefused("tools[0].function.parameters.properties is not an object", format, user,
                R"([{"function": {"name": "f", "parameters": {"properties": [1]}}}])");
  ExpectRefused("tools[0].function.parameters.required is not a list", format, user,
                R"([{"function": {"name": "f", "parameters": {"required": true}}}])");
  ExpectRefused(
      "parameters.properties.a.type: is an object", format, user,
      R"([{"function": {"name": "f", "parameters": {"properties": {"a": {"type": {}}}}}}])");
  ExpectRefused("messages[0].tool_calls belongs to role 'user'", format,
                R"([{"role": "user", "content": "x", "tool_calls": [{}]}])");
  ExpectRefused("messages[0].tool_calls is not a list", format,
                R"([{"role": "assistant", "tool_calls": 3}])");
  ExpectRefused("messages[0].tool_calls[0].function is not an object", format,
                R"([{"role": "assistant", "tool_calls": [{}]}])");
  for (const char* arguments : {"3", "\"[1]\"", "\"{\"", "[]"}) {
    ExpectRefused("messages[0].tool_calls[0].function.arguments", format,
                  std::string(R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f",
                                "arguments": )") +
                      arguments + "}}]}]");
  }
  ExpectRefused("messages[1].tool_call_id names no call", format,
                R"([{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
                    {"role": "tool", "tool_call_id": "2", "content": "x"}])");
  ExpectRefused("messages[1].role is 'tool', but no assistant message", format,
                R"([{"role": "user", "content": "x"}, {"role": "tool", "content": "x"}])");
  ExpectRefused("messages[0].content is missing", format, R"([{"role": "assistant"}])");
}

class DetectChatFormatTest : public testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() / name) << text;
  }
  std::optional<ChatFormat> Detect() { return DetectChatFormat(folder_.path()); }
  test::TempDir folder_;
};

TEST_F(DetectChatFormatTest, TinyVerifierIsGemma4) {
  EXPECT_EQ(DetectChatFormat(TestData("tiny-gemma4/verifier")), ChatFormat::kGemma4);
}

TEST_F(DetectChatFormatTest, RealGemma3TokenizerConfig) {
  const auto folder = SharedPath("models/gemma3-tokenizer");
  TALON_REQUIRE_PATH(folder);
  EXPECT_EQ(DetectChatFormat(folder), ChatFormat::kGemma3);
}

TEST_F(DetectChatFormatTest, NoTemplateIsABaseModel) {
  EXPECT_EQ(Detect(), std::nullopt);
  Write("tokenizer_config.json", R"({"bos_token": "<bos>"})");
  EXPECT_EQ(Detect(), std::nullopt);
}

TEST_F(DetectChatFormatTest, EmptyThoughtInTheGenerationPrompt) {
  const std::string turns = "{{ bos_token }}<|turn>{{ role }}<turn|>";
  // Thoughts of past turns are not the generation prompt.
  const std::string past = "{{ '<|channel>thought\\n' + t + '\\n<channel|>' }}";
  const std::string prompt = "{%- if add_generation_prompt -%}{{- '<|turn>model\\n' -}}";
  Write("chat_template.jinja", turns + past + prompt + "{%- endif -%}");
  EXPECT_EQ(Detect(), ChatFormat::kGemma4);
  Write("chat_template.jinja",
        turns + past + prompt + "{{- '<|channel>thought\\n<channel|>' -}}{%- endif -%}");
  EXPECT_EQ(Detect(), ChatFormat::kGemma4EmptyThought);
}

TEST_F(DetectChatFormatTest, TemplateInsideTokenizerConfig) {
  const std::string gemma3 = "<start_of_turn>user\n<end_of_turn>";
  Write("tokenizer_config.json", Json({{"chat_template", gemma3}}).dump());
  EXPECT_EQ(Detect(), ChatFormat::kGemma3);
  const Json list = Json::array({{{"name", "rag"}, {"template", "<|im_start|>"}},
                                 {{"name", "default"}, {"template", "<|turn>user<turn|>"}}});
  Write("tokenizer_config.json", Json({{"chat_template", list}}).dump());
  EXPECT_EQ(Detect(), ChatFormat::kGemma4);
  // The separate file counts before the field.
  Write("chat_template.jinja", gemma3);
  EXPECT_EQ(Detect(), ChatFormat::kGemma3);
}

TEST_F(DetectChatFormatTest, UnknownTemplatesNameTheFlag) {
  for (const std::string text : {"<|im_start|>user", "", "<start_of_turn>only",
                                 "<start_of_turn><end_of_turn>System role not supported"}) {
    Write("chat_template.jinja", text);
    try {
      Detect();
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_NE(std::string(error.what()).find("--chat-format"), std::string::npos);
      EXPECT_NE(std::string(error.what()).find("chat_template.jinja"), std::string::npos);
    }
  }
}

TEST_F(DetectChatFormatTest, MalformedConfig) {
  for (const std::string text : {"{", R"({"chat_template": 5})", R"({"chat_template": [1]})"}) {
    Write("tokenizer_config.json", text);
    EXPECT_THROW(Detect(), Error) << text;
  }
}

}  // namespace
}  // namespace talon
