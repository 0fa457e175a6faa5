// JSONL data sets: every spelling of a row, and errors that name file and line.
#include "talon/text/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>

#include "talon/base/error.h"
#include "talon/text/chat.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::SharedPath;
using testing::ElementsAre;

TEST(ReadPromptsTest, TheSevenCategories) {
  const auto folder = SharedPath("data/acceptance");
  TALON_REQUIRE_PATH(folder);
  const auto prompts = ReadPrompts(folder);
  EXPECT_EQ(prompts.size(), 644u);
  std::map<std::string, int> rows;
  for (const PromptRow& row : prompts) {
    ++rows[row.category];
    ASSERT_FALSE(row.turns.empty());
    EXPECT_EQ(row.turns.size(), row.category == "mt_bench" ? 2u : 1u);
  }
  EXPECT_EQ(rows.size(), 7u);
  EXPECT_EQ(rows["HumanEval"], 164);
  EXPECT_EQ(rows["translation"], 80);
  EXPECT_EQ(prompts[0].id, "HumanEval/0");  // the folder in name order
  EXPECT_EQ(prompts.back().category, "translation");
}

TEST(ReadConversationsTest, TheCalibrationSet) {
  const auto file = SharedPath("data/calibration/chat_256.jsonl");
  TALON_REQUIRE_PATH(file);
  const auto conversations = ReadConversations(file);
  EXPECT_EQ(conversations.size(), 256u);
  EXPECT_EQ(conversations[0].id, "chat_256/000");
  ChatOptions options;
  options.add_generation_prompt = false;
  for (const Conversation& conversation : conversations) {
    EXPECT_GE(conversation.messages.size(), 4u);
    EXPECT_NO_THROW(RenderChat(ChatFormat::kGemma4, conversation.messages, options));
  }
  EXPECT_EQ(ReadConversations(file, 3).size(), 3u);
}

TEST(ParsePromptsTest, TurnsPromptAndMessages) {
  const auto prompts = ParsePrompts(
      "{\"id\": \"a\", \"category\": \"c\", \"turns\": [\"x\", \"y\"]}\r\n"
      "\r\n"
      "{\"id\": 7, \"prompt\": \"é\"}\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}",
      "dir/set.jsonl");
  ASSERT_EQ(prompts.size(), 3u);
  EXPECT_EQ(prompts[0].id, "a");
  EXPECT_EQ(prompts[0].category, "c");
  EXPECT_THAT(prompts[0].turns, ElementsAre("x", "y"));
  EXPECT_EQ(prompts[1].id, "7");
  EXPECT_EQ(prompts[1].category, "set");
  EXPECT_THAT(prompts[1].turns, ElementsAre("é"));
  EXPECT_EQ(prompts[2].id, "set:4");
  EXPECT_TRUE(prompts[2].turns.empty());
  EXPECT_EQ(prompts[2].messages[0]["content"], "hi");
}

TEST(ParseConversationsTest, ShareGptBecomesMessages) {
  const auto conversations = ParseConversations(
      "{\"conversations\": [{\"from\": \"system\", \"value\": \"s\"},"
      " {\"from\": \"human\", \"value\": \"a\"}, {\"from\": \"gpt\", \"value\": \"b\"}]}\n",
      "chat.jsonl");
  ASSERT_EQ(conversations.size(), 1u);
  EXPECT_EQ(conversations[0].id, "chat:1");
  EXPECT_EQ(conversations[0].messages, Json::parse(R"([{"role": "system", "content": "s"},
      {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])"));
}

void ExpectError(const std::string& part, const std::function<void()>& read) {
  SCOPED_TRACE(part);
  try {
    read();
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

void ExpectBadPrompts(const std::string& part, const std::string& text) {
  ExpectError(part, [&] { ParsePrompts(text, "set.jsonl"); });
}

void ExpectBadConversations(const std::string& part, const std::string& text) {
  ExpectError(part, [&] { ParseConversations(text, "set.jsonl"); });
}

TEST(DatasetErrorsTest, Lines) {
  const std::string good = "{\"prompt\": \"x\"}\n";
  ExpectBadPrompts("set.jsonl: holds no rows", "");
  ExpectBadPrompts("set.jsonl: holds no rows", "\n \r\n\n");
  ExpectBadPrompts("set.jsonl:2: not valid JSON", good + "{\"prompt\": \n");
  ExpectBadPrompts("set.jsonl:3: not valid JSON", good + "\n" + "{\"prompt\": \"x\"} {}\n");
  ExpectBadPrompts("set.jsonl:2: not a JSON object", good + "[1]\n");
  ExpectBadPrompts("set.jsonl:2: not valid UTF-8", good + "{\"prompt\": \"\xFF\"}\n");
  ExpectBadPrompts("set.jsonl:1: JSON nested deeper", std::string(100000, '['));
}

TEST(DatasetErrorsTest, PromptFields) {
  ExpectBadPrompts("set.jsonl:1: holds none of the fields", "{\"text\": \"x\"}");
  ExpectBadPrompts("set.jsonl:1: field 'turns' is not", "{\"turns\": []}");
  ExpectBadPrompts("set.jsonl:1: field 'turns' is not", "{\"turns\": \"x\"}");
  ExpectBadPrompts("set.jsonl:1: turns[1] is not a string", "{\"turns\": [\"x\", 1]}");
  ExpectBadPrompts("set.jsonl:1: field 'prompt' is not a string", "{\"prompt\": []}");
  ExpectBadPrompts("set.jsonl:1: field 'category'", "{\"prompt\": \"x\", \"category\": 1}");
  ExpectBadPrompts("set.jsonl:1: field 'id'", "{\"prompt\": \"x\", \"id\": {}}");
  ExpectBadPrompts("set.jsonl:1: messages is not a list", "{\"messages\": []}");
  ExpectBadPrompts("set.jsonl:1: messages[0].role is 'bot'",
                   R"({"messages": [{"role": "bot", "content": "x"}]})");
}

TEST(DatasetErrorsTest, ConversationFields) {
  ExpectBadConversations("set.jsonl:1: holds neither", "{\"prompt\": \"x\"}");
  ExpectBadConversations("set.jsonl:1: messages[0].content[0].type is 'image'",
                         R"({"messages": [{"role": "user", "content": [{"type": "image"}]}]})");
  ExpectBadConversations("set.jsonl:1: field 'conversations' is not", R"({"conversations": {}})");
  ExpectBadConversations("set.jsonl:1: conversations[0]: is not {from, value}",
                         R"({"conversations": [{"from": "human"}]})");
  ExpectBadConversations("set.jsonl:1: conversations[0].from is 'alien'",
                         R"({"conversations": [{"from": "alien", "value": "x"}]})");
}

TEST(DatasetErrorsTest, Paths) {
  const test::TempDir folder;
  ExpectError("holds no .jsonl file", [&] { ReadPrompts(folder.path()); });
  ExpectError("nowhere.jsonl", [&] { ReadPrompts(folder.path() / "nowhere.jsonl"); });
  ExpectError("nowhere.jsonl", [&] { ReadConversations(folder.path() / "nowhere.jsonl"); });
  std::ofstream(folder.path() / "b.jsonl") << "{\"prompt\": \"b\"}\n";
  std::ofstream(folder.path() / "a.jsonl") << "{\"prompt\": \"a\"}\n";
  std::ofstream(folder.path() / "c.txt") << "no data";
  const auto prompts = ReadPrompts(folder.path());
  ASSERT_EQ(prompts.size(), 2u);
  EXPECT_EQ(prompts[0].id, "a:1");
  EXPECT_EQ(prompts[1].id, "b:1");
}

}  // namespace
}  // namespace talon
