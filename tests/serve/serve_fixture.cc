#include "tests/serve/serve_fixture.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace talon::test {
namespace {

class Signal {
 public:
  void Set() {
    const std::lock_guard lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return set_; });
    set_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

HttpReply Finish(OngoingReply& ongoing) {
  const auto signal = std::make_shared<Signal>();
  if (const auto refusal = ongoing.Start([signal] { signal->Set(); })) return *refusal;
  HttpReply stream;
  stream.content_type = "text/event-stream";
  while (true) {
    signal->Wait();
    const OngoingReply::Progress progress = ongoing.Advance();
    if (progress.reply) return *progress.reply;
    stream.body += progress.events;
    if (progress.finished) return stream;
  }
}

}  // namespace

ServedModel TinyServedModel(const Tokenizer& tokenizer) {
  ServedModel model;
  model.names = {"tiny", "alias"};
  model.root = "/models/tiny";
  model.tokenizer = &tokenizer;
  model.chat_format = ChatFormat::kGemma4;
  model.reasoning = FindReasoningMarkers(tokenizer);
  model.stop_token_ids = {ByteTokenizer::kEos, ByteTokenizer::kEndOfTurn};
  model.vocab_size = ByteTokenizer::kVocabSize;
  model.max_model_len = 512;
  model.num_speculative_tokens = 3;
  model.system_fingerprint = "talon-test";
  model.created = 1700000000;
  return model;
}

ScriptedServer::ScriptedServer(std::vector<std::string> api_keys, int64_t max_in_flight,
                               std::chrono::milliseconds timeout,
                               std::shared_ptr<EngineScript> script)
    : script_(std::move(script)),
      router_(api_keys, "0.0.test"),
      serving_(std::make_unique<Serving>(TinyServedModel(tokenizer_),
                                         std::make_unique<ScriptedEngine>(script_), max_in_flight,
                                         timeout)) {
  router_.SetReady(*serving_);
}

HttpReply ScriptedServer::Ask(const std::string& method, const std::string& path,
                              const std::string& body) {
  const HttpRequest request{method, path, "", body};
  if (const auto refusal = router_.RefuseHead(request)) return *refusal;
  HttpResult result = router_.Handle(request);
  if (const auto* reply = std::get_if<HttpReply>(&result)) return *reply;
  return Finish(*std::get<std::unique_ptr<OngoingReply>>(result));
}

Json ScriptedServer::Post(const std::string& path, const Json& body, int status) {
  const HttpReply reply = Ask("POST", path, body.dump());
  EXPECT_EQ(reply.status, status) << reply.body;
  return Json::parse(reply.body);
}

std::vector<Json> ParseEvents(const std::string& stream) {
  std::vector<Json> events;
  size_t at = 0;
  while (at < stream.size()) {
    const size_t end = stream.find("\n\n", at);
    EXPECT_NE(end, std::string::npos);
    const std::string event = stream.substr(at, end - at);
    EXPECT_EQ(event.substr(0, 6), "data: ");
    at = end + 2;
    if (event == "data: [DONE]") break;
    events.push_back(Json::parse(event.substr(6)));
  }
  EXPECT_EQ(at, stream.size());
  EXPECT_TRUE(stream.ends_with("data: [DONE]\n\n"));
  return events;
}

}  // namespace talon::test
