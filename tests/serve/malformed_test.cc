// Ten thousand damaged requests over one connection: each is answered, none with a fault of the
// server's own.
#include <gtest/gtest.h>

#include <random>

#include "talon/serve/http_server.h"
#include "tests/serve/http_client.h"
#include "tests/serve/serve_fixture.h"

namespace talon {
namespace {

const std::vector<std::string> kPaths = {"/v1/chat/completions", "/v1/completions", "/tokenize",
                                         "/detokenize"};

const std::vector<std::string> kBodies = {
    R"({"model": "tiny", "messages": [{"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": "x", "reasoning_content": "y",
         "tool_calls": [{"id": "1", "type": "function",
                         "function": {"name": "f", "arguments": "{\"a\": 1}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "2"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters":
                  {"type": "object", "properties": {"a": {"type": "integer"}}}}}],
        "chat_template_kwargs": {"enable_thinking": true}, "max_tokens": 5, "n": 2})",
    R"({"prompt": "abc", "max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "top_k": 5, "seed": 1,
        "stop": ["a", "b"], "stop_token_ids": [20, 21], "echo": true})",
    R"({"prompt": [[2, 20, 21], [2, 30]], "stream": true,
        "stream_options": {"include_usage": true}, "n": 2, "max_tokens": 3})",
    R"({"tokens": [2, 20, 21], "model": "tiny"})"};

// Bytes replaced, removed, repeated or put in.
std::string Damage(std::string body, std::mt19937& random) {
  static const std::vector<std::string> kPieces = {"null",
                                                   "-1",
                                                   "1e308",
                                                   "\"",
                                                   "{",
                                                   "}",
                                                   "[",
                                                   "]",
                                                   ",",
                                                   ":",
                                                   "true",
                                                   "0",
                                                   "\\u0",
                                                   "\xf0\x9f",
                                                   "999999",
                                                   "\\ud800x",
                                                   std::string(1, '\0')};
  const int count = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < count; ++i) {
    const size_t at = random() % (body.size() + 1);
    const size_t size = std::min<size_t>(random() % 12, body.size() - at);
    switch (random() % 3) {
      case 0:
        body.replace(at, size, kPieces[random() % kPieces.size()]);
        break;
      case 1:
        body.erase(at, size);
        break;
      default:
        body.insert(at, body.substr(random() % (body.size() + 1), 20));
    }
  }
  return body;
}

TEST(MalformedRequests, AreRefusedAndTheServerGoesOn) {
  test::ScriptedServer scripted;
  HttpServerOptions options;
  options.port = 0;
  const HttpServer server(scripted.router(), options);
  test::HttpClient client(server.port());
  std::mt19937 random(11);
  int refused = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string body = Damage(kBodies[random() % kBodies.size()], random);
    const test::ClientReply reply = client.Ask("POST", kPaths[random() % kPaths.size()], body);
    if (reply.status == 200) continue;
    ++refused;
    ASSERT_TRUE(reply.status == 400 || reply.status == 404) << reply.status << "\n" << body;
    const Json error = reply.json()["error"];
    EXPECT_EQ(error["code"], reply.status);
    EXPECT_FALSE(error["message"].get<std::string>().empty());
  }
  EXPECT_GT(refused, 5000);
  EXPECT_EQ(client.Post("/v1/completions", {{"prompt", "abc"}}).json()["choices"][0]["text"],
            "abc");
  scripted.script().AwaitRequests(0);
}

}  // namespace
}  // namespace talon
