// Log-probabilities in answers: OpenAI's JSON shapes with a scripted engine.
#include "talon/serve/token_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/serve/serve_fixture.h"

namespace talon {
namespace {

using test::ByteTokenizer;
using test::ParseEvents;
using test::ScriptedServer;

const std::string kCompletions = "/v1/completions";

double ScriptedLogprob(char c) { return -(ByteTokenizer::kFirstByte + c) / 16.0; }

TEST(TokenLog, NamesBytesAndOffsetsOfCharacters) {
  const ByteTokenizer tokenizer;
  TokenLog log(tokenizer, /*as_ids=*/false);
  log.Add(ByteTokenizer::kBos, std::nullopt);
  log.Add(ByteTokenizer::kFirstByte + 'x', TokenLogprobs{-0.5f, {}});
  log.Add(ByteTokenizer::kFirstByte + 0xC3, TokenLogprobs{-INFINITY, {{17, -0.25f}}});
  log.Add(ByteTokenizer::kFirstByte + 'y', TokenLogprobs{-2.0f, {}});
  const Json json = log.CompletionJson(log.tokens());
  EXPECT_EQ(json["tokens"], Json({"<bos>", "x", "\uFFFD", "y"}));
  EXPECT_EQ(json["text_offset"], Json({0, 5, 6, 7}));
  EXPECT_EQ(json["token_logprobs"], Json({nullptr, -0.5, -9999.0, -2.0}));
  EXPECT_EQ(json["top_logprobs"][0], nullptr);
  const Json chat = log.ChatJson(log.tokens().subspan(2, 1));
  EXPECT_EQ(chat["content"][0]["bytes"], Json({0xC3}));
  EXPECT_EQ(chat["content"][0]["top_logprobs"][0]["bytes"], Json({1}));
}

TEST(TokenLog, TokensWithOneTextKeepTheLikeliest) {
  const ByteTokenizer tokenizer;
  TokenLog log(tokenizer, false);
  const int32_t lone = ByteTokenizer::kFirstByte + 0xC3;
  log.Add(lone, TokenLogprobs{-0.5f, {{lone, -0.5f}, {lone + 1, -3.0f}}});
  EXPECT_EQ(log.CompletionJson(log.tokens())["top_logprobs"][0], Json({{"\uFFFD", -0.5}}));
}

TEST(Logprobs, OfACompletion) {
  ScriptedServer server;
  const Json answer =
      server.Post(kCompletions, {{"prompt", "hey"}, {"logprobs", 2}, {"max_tokens", 3}});
  const Json& logprobs = answer["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json({"h", "e", "y"}));
  EXPECT_EQ(logprobs["text_offset"], Json({0, 1, 2}));
  EXPECT_EQ(logprobs["token_logprobs"][1], ScriptedLogprob('e'));
  EXPECT_EQ(logprobs["top_logprobs"][1],
            Json({{"e", ScriptedLogprob('e')}, {"a", 0.0}, {"b", -0.25}}));
}

// What evaluation harnesses send to score a text.
TEST(Logprobs, OfAnEchoedPrompt) {
  for (const int max_tokens : {0, 1}) {
    ScriptedServer server;
    const Json answer = server.Post(
        kCompletions,
        {{"prompt", "hey"}, {"logprobs", 1}, {"max_tokens", max_tokens}, {"echo", true}});
    const Json& choice = answer["choices"][0];
    EXPECT_EQ(choice["text"], max_tokens == 0 ? "hey" : "heyh");
    EXPECT_EQ(choice["finish_reason"], "length");
    EXPECT_EQ(answer["usage"]["completion_tokens"], max_tokens);
    const Json& logprobs = choice["logprobs"];
    ASSERT_EQ(logprobs["tokens"].size(), 4u + static_cast<size_t>(max_tokens));
    EXPECT_EQ(logprobs["tokens"][0], "<bos>");
    EXPECT_EQ(logprobs["token_logprobs"][0], nullptr);
    EXPECT_EQ(logprobs["top_logprobs"][0], nullptr);
    EXPECT_EQ(logprobs["token_logprobs"][2], ScriptedLogprob('e'));
    EXPECT_EQ(logprobs["top_logprobs"][2], Json({{"e", ScriptedLogprob('e')}, {"a", 0.0}}));
  }
}

TEST(Logprobs, OfAChatAnswer) {
  ScriptedServer server;
  const Json answer =
      server.Post("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "hi"}}}},
                                           {"logprobs", true},
                                           {"top_logprobs", 2},
                                           {"max_tokens", 4}});
  const Json& content = answer["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 4u);
  EXPECT_EQ(content[1]["token"], "u");
  EXPECT_EQ(content[1]["bytes"], Json({'u'}));
  EXPECT_EQ(content[1]["logprob"], ScriptedLogprob('u'));
  ASSERT_EQ(content[1]["top_logprobs"].size(), 2u);
  EXPECT_EQ(content[1]["top_logprobs"][1]["token"], "b");
  EXPECT_EQ(content[1]["top_logprobs"][1]["logprob"], -0.25);
}

TEST(Logprobs, OfStreamsAddUpToTheWhole) {
  for (const bool echo : {false, true}) {
    Json request = {{"prompt", "some text"}, {"logprobs", 1}, {"echo", echo}, {"stop", "ex"}};
    ScriptedServer server;
    const Json whole = server.Post(kCompletions, request)["choices"][0];
    request["stream"] = true;
    std::string text;
    Json joined = {{"tokens", Json::array()},
                   {"token_logprobs", Json::array()},
                   {"top_logprobs", Json::array()},
                   {"text_offset", Json::array()}};
    for (const Json& event : ParseEvents(server.Ask("POST", kCompletions, request.dump()).body)) {
      const Json& choice = event["choices"][0];
      text += choice["text"];
      if (choice["logprobs"].is_null()) continue;
      for (const auto& [name, values] : choice["logprobs"].items()) {
        for (const Json& value : values) joined[name].push_back(value);
      }
    }
    EXPECT_EQ(text, whole["text"]);
    EXPECT_EQ(joined, whole["logprobs"]);
  }
}

TEST(Logprobs, TokensAsIdsOnRequest) {
  ScriptedServer server;
  const Json answer = server.Post(kCompletions, {{"prompt", "hey"},
                                                 {"logprobs", 0},
                                                 {"max_tokens", 1},
                                                 {"return_tokens_as_token_ids", true}});
  EXPECT_EQ(answer["choices"][0]["logprobs"]["tokens"], Json({"token_id:120"}));
}

}  // namespace
}  // namespace talon
