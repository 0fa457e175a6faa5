// The routes and answers, without the network.
#include "talon/serve/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serve/serve_fixture.h"

namespace talon {
namespace {

using test::ParseEvents;
using test::ScriptedServer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kChat = "/v1/chat/completions";
const std::string kCompletions = "/v1/completions";

// The scripted engine repeats a chat prompt: this is what its answers are.
const std::string kChatAnswer = "user\nhi";

Json ChatBody(Json extra = Json::object()) {
  Json body = {{"messages", {{{"role", "user"}, {"content", "hi"}}}}};
  body.update(extra);
  return body;
}

TEST(Router, CompletionAnswersWithUsage) {
  ScriptedServer server;
  const Json answer = server.Post(kCompletions, {{"prompt", "abc"}, {"max_tokens", 50}});
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_THAT(answer["id"].get<std::string>(), StartsWith("cmpl-"));
  EXPECT_EQ(answer["model"], "tiny");
  EXPECT_EQ(answer["system_fingerprint"], "talon-test");
  EXPECT_GT(answer["created"], 1700000000);
  ASSERT_EQ(answer["choices"].size(), 1u);
  EXPECT_EQ(answer["choices"][0]["text"], "abc");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(answer["choices"][0]["stop_reason"], nullptr);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 4);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 4);
  EXPECT_EQ(answer["usage"]["total_tokens"], 8);
}

TEST(Router, LengthStopsAndStopTokens) {
  ScriptedServer server;
  Json answer = server.Post(kCompletions, {{"prompt", "abcdef"}, {"max_tokens", 2}});
  EXPECT_EQ(answer["choices"][0]["text"], "ab");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  answer = server.Post(kCompletions, {{"prompt", "abcdef"}, {"stop_token_ids", {16 + 'd'}}});
  EXPECT_EQ(answer["choices"][0]["text"], "abc");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(answer["choices"][0]["stop_reason"], 16 + 'd');
  EXPECT_EQ(answer["usage"]["completion_tokens"], 4);
}

TEST(Router, StopStringsEndTheAnswerWhateverTheStepBrings) {
  for (const int64_t accepted : {0, 2}) {
    const auto script = std::make_shared<test::EngineScript>();
    script->accepted_per_round = accepted;
    ScriptedServer server({}, 16, {}, script);
    const Json answer = server.Post(kCompletions, {{"prompt", "one two three"}, {"stop", "o t"}});
    EXPECT_EQ(answer["choices"][0]["text"], "one tw");
    EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
    EXPECT_EQ(answer["choices"][0]["stop_reason"], "o t");
    EXPECT_EQ(answer["usage"]["completion_tokens"], 9);
    server.script().AwaitRequests(0);  // the engine was told
  }
}

TEST(Router, ManyPromptsAndAnswers) {
  ScriptedServer server;
  const Json answer =
      server.Post(kCompletions, {{"prompt", {"a", "bc"}}, {"n", 2}, {"echo", true}});
  ASSERT_EQ(answer["choices"].size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(answer["choices"][i]["index"], i);
    EXPECT_EQ(answer["choices"][i]["text"], i < 2 ? "aa" : "bcbc");
  }
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 2 + 3);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 2 * 2 + 2 * 3);
}

TEST(Router, ChatAnswers) {
  ScriptedServer server;
  const Json answer = server.Post(kChat, ChatBody({{"return_token_ids", true}}));
  EXPECT_EQ(answer["object"], "chat.completion");
  const Json& message = answer["choices"][0]["message"];
  EXPECT_EQ(message["role"], "assistant");
  EXPECT_EQ(message["content"], kChatAnswer);
  EXPECT_EQ(message["reasoning_content"], nullptr);
  EXPECT_EQ(answer["choices"][0]["token_ids"].size(), 9u);  // <|turn>, "user\nhi", <turn|>
}

TEST(Router, ReasoningIsSeparated) {
  ScriptedServer server;
  const Json messages = {
      {{"role", "user"}, {"content", "x<|channel>thought\nwhy<channel|>because"}}};
  Json message = server.Post(kChat, {{"messages", messages}})["choices"][0]["message"];
  EXPECT_EQ(message["reasoning_content"], "why");
  EXPECT_EQ(message["reasoning"], "why");
  EXPECT_EQ(message["content"], "user\nxbecause");
  const Json answer = server.Post(kChat, {{"messages", messages}, {"include_reasoning", false}});
  message = answer["choices"][0]["message"];
  EXPECT_EQ(message["reasoning_content"], nullptr);
  EXPECT_EQ(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 11);
}

TEST(Router, StreamsAreTheSameText) {
  ScriptedServer server;
  const HttpReply reply = server.Ask(
      "POST", kChat,
      ChatBody({{"stream", true}, {"n", 2}, {"stream_options", {{"include_usage", true}}}}).dump());
  EXPECT_EQ(reply.status, 200);
  std::vector<Json> events = ParseEvents(reply.body);
  ASSERT_GE(events.size(), 5u);
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(events[1]["choices"][0]["index"], 1);
  const Json usage = events.back();
  EXPECT_TRUE(usage["choices"].empty());
  EXPECT_EQ(usage["usage"]["completion_tokens"], 18);
  events.pop_back();
  std::vector<std::string> texts(2);
  std::vector<std::string> ends(2);
  for (const Json& event : events) {
    EXPECT_EQ(event["id"], usage["id"]);
    EXPECT_EQ(event["object"], "chat.completion.chunk");
    EXPECT_EQ(event["usage"], nullptr);
    const Json& choice = event["choices"][0];
    const auto index = choice["index"].get<size_t>();
    texts[index] += choice["delta"].value("content", "");
    if (!choice["finish_reason"].is_null()) ends[index] += choice["finish_reason"];
  }
  EXPECT_THAT(texts, ElementsAre(kChatAnswer, kChatAnswer));
  EXPECT_THAT(ends, ElementsAre("stop", "stop"));
}

TEST(Router, CompletionStreamsEchoFirst) {
  ScriptedServer server;
  const HttpReply reply = server.Ask(
      "POST", kCompletions, R"({"prompt": "abc", "stream": true, "echo": true, "max_tokens": 2})");
  std::string text;
  const std::vector<Json> events = ParseEvents(reply.body);
  for (const Json& event : events) text += event["choices"][0]["text"];
  EXPECT_EQ(text, "abcab");
  EXPECT_EQ(events.back()["choices"][0]["finish_reason"], "length");
  EXPECT_FALSE(events.back().contains("usage"));
}

TEST(Router, AcceptanceFiguresOnRequest) {
  const auto script = std::make_shared<test::EngineScript>();
  script->accepted_per_round = 2;
  ScriptedServer server({}, 16, {}, script);
  EXPECT_FALSE(server.Post(kCompletions, {{"prompt", "abcdef"}}).contains("metrics"));
  const Json answer = server.Post(
      kCompletions, {{"prompt", "abcdef"}, {"per_request_spec_decode_metrics", "detailed"}});
  const Json& metrics = answer["metrics"]["speculative_decoding"];
  EXPECT_EQ(metrics["num_spec_steps"], 2);
  EXPECT_EQ(metrics["num_draft_tokens"], 6);
  EXPECT_EQ(metrics["num_accepted_draft_tokens"], 4);
  EXPECT_EQ(metrics["mean_acceptance_length"], 3.0);
  EXPECT_EQ(metrics["acceptance_histogram"], Json({0, 0, 2, 0}));
  EXPECT_EQ(metrics["num_spec_tokens"], 3);
  EXPECT_EQ(metrics["per_step_accepted"], Json({2, 2}));
}

TEST(Router, ErrorsHaveOpenAisForm) {
  ScriptedServer server;
  const Json answer = server.Post(kChat, ChatBody({{"temperature", 5}}), 400);
  EXPECT_EQ(answer["error"]["type"], "BadRequestError");
  EXPECT_EQ(answer["error"]["param"], "temperature");
  EXPECT_EQ(answer["error"]["code"], 400);
  EXPECT_THAT(answer["error"]["message"].get<std::string>(), StartsWith("temperature is 5;"));
  EXPECT_EQ(server.Post(kChat, ChatBody({{"model", "x"}}), 404)["error"]["type"], "NotFoundError");
  EXPECT_EQ(server.Ask("POST", kChat, "{").status, 400);
  EXPECT_EQ(server.Ask("GET", "/nowhere").status, 404);
  EXPECT_EQ(server.Ask("GET", kChat).status, 405);
}

TEST(Router, AFullQueueSaysWhenToTryAgain) {
  const auto script = std::make_shared<test::EngineScript>();
  script->Hold();
  ScriptedServer server({}, 1, {}, script);
  HttpResult first = server.router().Handle({"POST", kCompletions, "", R"({"prompt": "a"})"});
  auto& ongoing = std::get<std::unique_ptr<OngoingReply>>(first);
  ASSERT_EQ(ongoing->Start([] {}), nullptr);
  const HttpReply reply = server.Ask("POST", kCompletions, R"({"prompt": "b"})");
  EXPECT_EQ(reply.status, 429);
  ASSERT_EQ(reply.headers.size(), 1u);
  EXPECT_EQ(reply.headers[0].first, "Retry-After");
  EXPECT_GE(std::stoi(reply.headers[0].second), 1);
  EXPECT_EQ(Json::parse(reply.body)["error"]["code"], 429);
  EXPECT_EQ(server.Post(kCompletions, {{"prompt", "b"}, {"n", 2}}, 400)["error"]["param"], "n");
  ongoing.reset();  // as when the client has gone
  script->AwaitRequests(0);
  script->Release();
}

TEST(Router, ADeadlineThatPassesIsATimeout) {
  const auto script = std::make_shared<test::EngineScript>();
  script->Hold();
  ScriptedServer server({}, 4, std::chrono::milliseconds(1), script);
  EXPECT_EQ(server.Post(kCompletions, {{"prompt", "a"}}, 504)["error"]["type"], "TimeoutError");
  EXPECT_EQ(server.Ask("POST", kCompletions, R"({"prompt": "a", "stream": true})").status, 504);
  script->Release();
}

TEST(Router, AKeyOpensEveryRouteButHealth) {
  ScriptedServer server({"secret", "other"});
  const auto status = [&](const std::string& path, const std::string& authorization) {
    const auto refusal = server.router().RefuseHead({"GET", path, authorization, ""});
    return refusal ? refusal->status : 200;
  };
  EXPECT_EQ(status("/health", ""), 200);
  for (const char* path : {"/v1/models", "/metrics", "/version"}) {
    EXPECT_EQ(status(path, ""), 401) << path;
    EXPECT_EQ(status(path, "Bearer wrong"), 401) << path;
    EXPECT_EQ(status(path, "Bearer secre"), 401) << path;
    EXPECT_EQ(status(path, "Bearer "), 401) << path;
    EXPECT_EQ(status(path, "secret"), 401) << path;
    EXPECT_EQ(status(path, "Basic secret"), 401) << path;
    EXPECT_EQ(status(path, "Bearer secret"), 200) << path;
    EXPECT_EQ(status(path, "bearer other"), 200) << path;
  }
  EXPECT_EQ(status("/nowhere", ""), 401);
}

TEST(Router, SmallEndpoints) {
  ScriptedServer server;
  const Json models = Json::parse(server.Ask("GET", "/v1/models").body);
  EXPECT_EQ(models["data"].size(), 2u);
  EXPECT_EQ(models["data"][0]["id"], "tiny");
  EXPECT_EQ(models["data"][0]["max_model_len"], 512);
  EXPECT_EQ(Json::parse(server.Ask("GET", "/version").body)["version"], "0.0.test");
  EXPECT_THAT(server.Ask("GET", "/metrics").body, HasSubstr("vllm:num_requests_running"));
  const Json tokens = server.Post("/tokenize", {{"prompt", "ab"}, {"return_token_strs", true}});
  EXPECT_EQ(tokens["tokens"], Json({2, 16 + 'a', 16 + 'b'}));
  EXPECT_EQ(tokens["count"], 3);
  EXPECT_EQ(tokens["token_strs"], Json({"<bos>", "a", "b"}));
  EXPECT_EQ(server.Post("/detokenize", {{"tokens", tokens["tokens"]}})["prompt"], "<bos>ab");
  EXPECT_EQ(server.Post("/tokenize", ChatBody())["count"], 18);
  server.Post("/detokenize", {{"tokens", {-1}}}, 400);
  server.Post("/detokenize", Json::object(), 400);
  server.Post("/tokenize", {{"prompt", 5}}, 400);
}

TEST(Router, LoadingAndDraining) {
  Router loading({}, "0");
  const auto status = [&](const std::string& path) {
    const HttpResult result = loading.Handle({"GET", path, "", ""});
    return std::get<HttpReply>(result).status;
  };
  EXPECT_EQ(status("/health"), 503);
  EXPECT_EQ(status("/v1/models"), 503);
  EXPECT_EQ(status("/version"), 200);
  ScriptedServer server;
  EXPECT_EQ(server.Ask("GET", "/health").status, 200);
  server.router().SetDraining();
  EXPECT_EQ(server.Ask("GET", "/health").status, 503);
}

}  // namespace
}  // namespace talon
