// The network side, over a scripted engine: limits, disconnects, streams, shutdown.
#include "talon/serve/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "talon/base/error.h"
#include "tests/serve/http_client.h"
#include "tests/serve/serve_fixture.h"

namespace talon {
namespace {

using std::chrono::milliseconds;
using test::HttpClient;
using test::ParseEvents;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kCompletions = "/v1/completions";

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() { options_.port = 0; }

  void Start(std::vector<std::string> api_keys = {}, int64_t max_in_flight = 64) {
    scripted_ = std::make_unique<test::ScriptedServer>(std::move(api_keys), max_in_flight,
                                                       milliseconds(0), script_);
    server_ = std::make_unique<HttpServer>(scripted_->router(), options_);
  }
  HttpClient Client() { return HttpClient(server_->port()); }
  void TearDown() override {
    script_->Release();
    if (server_) server_->Stop(milliseconds(0));
  }

  HttpServerOptions options_;
  std::shared_ptr<test::EngineScript> script_ = std::make_shared<test::EngineScript>();
  std::unique_ptr<test::ScriptedServer> scripted_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ManyRequestsOnOneConnection) {
  Start();
  HttpClient client = Client();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(client.Get("/health").status, 200);
    const auto reply = client.Post(kCompletions, {{"prompt", "abc"}});
    EXPECT_EQ(reply.json()["choices"][0]["text"], "abc");
    EXPECT_EQ(client.Get("/nowhere?x=1").status, 404);
  }
  EXPECT_EQ(server_->num_connections(), 1);
}

TEST_F(HttpServerTest, StreamsEndAndTheConnectionGoesOn) {
  Start();
  HttpClient client = Client();
  for (int i = 0; i < 3; ++i) {
    const auto reply = client.Post(kCompletions, {{"prompt", "hello"}, {"stream", true}});
    EXPECT_EQ(reply.status, 200);
    EXPECT_THAT(reply.headers.at("content-type"), StartsWith("text/event-stream"));
    std::string text;
    for (const Json& event : ParseEvents(reply.body)) text += event["choices"][0]["text"];
    EXPECT_EQ(text, "hello");
  }
}

TEST_F(HttpServerTest, AnOldClientGetsItsStreamUnchunked) {
  Start();
  HttpClient client = Client();
  const std::string body = R"({"prompt": "ab", "stream": true})";
  client.SendRaw("POST /v1/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) +
                 "\r\n\r\n" + body);
  std::string reply;
  for (std::string bytes = client.ReceiveSome(); !bytes.empty(); bytes = client.ReceiveSome()) {
    reply += bytes;
  }
  EXPECT_THAT(reply, testing::EndsWith("data: [DONE]\n\n"));
}

TEST_F(HttpServerTest, AClientThatLeavesFreesItsPlace) {
  script_->Hold();
  script_->max_num_seqs = 1;
  Start();
  auto running = std::make_unique<HttpClient>(server_->port());
  running->Send("POST", kCompletions, R"({"prompt": "a", "stream": true})");
  auto queued = std::make_unique<HttpClient>(server_->port());
  queued->Send("POST", kCompletions, R"({"prompt": "b"})");
  script_->AwaitRequests(2);
  queued.reset();
  script_->AwaitRequests(1);
  running.reset();
  script_->AwaitRequests(0);
}

TEST_F(HttpServerTest, AClientThatSentItsNextRequestEarlyIsSeenLeaving) {
  script_->Hold();
  Start();
  auto client = std::make_unique<HttpClient>(server_->port());
  client->Send("POST", kCompletions, R"({"prompt": "a"})");
  client->Send("GET", "/health", "");
  script_->AwaitRequests(1);
  client.reset();
  script_->AwaitRequests(0);
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  HttpClient client = Client();
  client.Send("POST", kCompletions, R"({"prompt": "first"})");
  client.Send("POST", kCompletions, R"({"prompt": "second"})");
  EXPECT_EQ(client.Receive().json()["choices"][0]["text"], "first");
  EXPECT_EQ(client.Receive().json()["choices"][0]["text"], "second");
}

TEST_F(HttpServerTest, AThousandAbortedStreamsLeaveNothing) {
  Start({}, 1024);
  for (int i = 0; i < 1000; ++i) {
    HttpClient client = Client();
    client.Send("POST", kCompletions, R"({"prompt": "some text to repeat", "stream": true})");
    if (i % 2 == 0) client.ReceiveSome();
  }
  script_->AwaitRequests(0);
  EXPECT_EQ(Client().Post(kCompletions, {{"prompt", "ok"}}).status, 200);
}

TEST_F(HttpServerTest, AClientThatNeverReadsStallsNobody) {
  options_.write_timeout = milliseconds(200);
  Start();
  HttpClient deaf = Client();
  const std::string prompt(400, 'x');
  for (int i = 0; i < 200; ++i) {  // more than the sockets' buffers hold
    deaf.Send("POST", kCompletions,
              Json{{"prompt", prompt}, {"max_tokens", 100}, {"stream", true}}.dump());
  }
  EXPECT_EQ(Client().Post(kCompletions, {{"prompt", "ok"}}).json()["choices"][0]["text"], "ok");
}

TEST_F(HttpServerTest, KeysAreAskedForBeforeTheBody) {
  Start({"secret"});
  HttpClient client = Client();
  EXPECT_EQ(client.Get("/health").status, 200);
  client.SendRaw("POST /v1/completions HTTP/1.1\r\nContent-Length: 1000\r\n\r\n");
  const auto refused = client.Receive();  // although no body came
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.headers.at("www-authenticate"), "Bearer");
  HttpClient known = Client();
  known.SetHeader("Authorization", "Bearer secret");
  EXPECT_EQ(known.Post(kCompletions, {{"prompt", "abc"}}).status, 200);
}

TEST_F(HttpServerTest, HeadersAndBodiesHaveLimits) {
  options_.max_header_bytes = 2000;
  options_.max_body_bytes = 1000;
  Start();
  HttpClient wordy = Client();
  wordy.SetHeader("X-Padding", std::string(3000, 'x'));
  EXPECT_EQ(wordy.Get("/health").status, 431);
  EXPECT_EQ(Client().Post(kCompletions, {{"prompt", std::string(2000, 'x')}}).status, 413);
  HttpClient chunked = Client();
  chunked.SendRaw("POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
                  std::string(2000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.Receive().status, 413);
}

TEST_F(HttpServerTest, SlowClientsAreDropped) {
  options_.header_timeout = milliseconds(100);
  options_.body_timeout = milliseconds(100);
  Start();
  HttpClient silent = Client();
  EXPECT_TRUE(silent.AwaitClose());
  HttpClient slow_head = Client();
  slow_head.SendRaw("GET /health HTTP/1.1\r\nX-Slow: ");
  EXPECT_TRUE(slow_head.AwaitClose());
  HttpClient slow_body = Client();
  slow_body.SendRaw("POST /v1/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{");
  EXPECT_TRUE(slow_body.AwaitClose());
}

TEST_F(HttpServerTest, NonsenseIsAnsweredAndTheServerLives) {
  Start();
  for (const char* bytes :
       {"\r\n\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01",
        "POST /v1/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    HttpClient client = Client();
    client.SendRaw(bytes);
    EXPECT_THAT(client.ReceiveSome(), testing::AnyOf(HasSubstr("HTTP/1.1 400"), HasSubstr("413")))
        << bytes;
  }
  for (int i = 0; i < 1000; ++i) {
    HttpClient client = Client();
    client.SendRaw(std::string(1 + i % 50, static_cast<char>(i)) + "\r\n\r\n");
  }
  EXPECT_EQ(Client().Get("/health").status, 200);
}

TEST_F(HttpServerTest, ContinuesWhenAsked) {
  Start();
  HttpClient client = Client();
  const std::string body = R"({"prompt": "ab"})";
  client.SendRaw("POST /v1/completions HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: " +
                 std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_EQ(client.ReceiveSome(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.SendRaw(body);
  EXPECT_EQ(client.Receive().status, 200);
}

TEST_F(HttpServerTest, ConnectionsHaveALimit) {
  options_.max_connections = 2;
  Start();
  HttpClient first = Client();
  HttpClient second = Client();
  EXPECT_EQ(first.Get("/health").status, 200);
  EXPECT_EQ(second.Get("/health").status, 200);
  HttpClient third = Client();
  EXPECT_THAT(third.ReceiveSome(), StartsWith("HTTP/1.1 503"));
}

TEST_F(HttpServerTest, StopLetsAnswersFinish) {
  script_->Hold();
  Start();
  HttpClient idle = Client();
  EXPECT_EQ(idle.Get("/health").status, 200);
  HttpClient busy = Client();
  busy.Send("POST", kCompletions, R"({"prompt": "abc"})");
  script_->AwaitRequests(1);
  std::thread stopping([this] { server_->Stop(milliseconds(60'000)); });
  EXPECT_TRUE(idle.AwaitClose());
  script_->Release();
  EXPECT_EQ(busy.Receive().json()["choices"][0]["text"], "abc");
  stopping.join();
  EXPECT_EQ(server_->num_connections(), 0);
}

TEST_F(HttpServerTest, StopEndsWhatTakesTooLong) {
  script_->Hold();
  Start();
  HttpClient busy = Client();
  busy.Send("POST", kCompletions, R"({"prompt": "abc"})");
  script_->AwaitRequests(1);
  server_->Stop(milliseconds(1));
  EXPECT_TRUE(busy.AwaitClose());
  script_->AwaitRequests(0);
}

TEST_F(HttpServerTest, APortInUseIsAnError) {
  Start();
  HttpServerOptions taken = options_;
  taken.port = server_->port();
  try {
    const HttpServer second(scripted_->router(), taken);
    FAIL() << "two servers on one port";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailedPrecondition);
    EXPECT_THAT(error.what(), HasSubstr("cannot listen on 127.0.0.1"));
  }
}

}  // namespace
}  // namespace talon
