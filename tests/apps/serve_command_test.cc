// `talon serve` from the outside: flags, and the way from start to SIGTERM.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <csignal>

#include "tests/support/local_http.h"
#include "tests/support/run_talon.h"

namespace talon {
namespace {

using test::Ask;
using test::AwaitReady;
using test::FreePort;
using test::Get;
using test::ProgramResult;
using test::RunTalon;
using test::Send;
using test::Socket;
using testing::AllOf;
using testing::HasSubstr;

const std::string kVerifier = std::string(TALON_SOURCE_DIR) + "/models/demo/verifier";
const std::string kDrafter = std::string(TALON_SOURCE_DIR) + "/models/demo/drafter";

std::string Completion(const std::string& body) {
  return "POST /v1/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

TEST(ServeCommandTest, WrongFlagsAreNamed) {
  const auto refusal = [](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"serve", kVerifier});
    const ProgramResult result = RunTalon(flags);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    return result.err;
  };
  EXPECT_THAT(refusal({"--max-num-seq", "3"}), HasSubstr("the nearest one is --max-num-seqs"));
  EXPECT_THAT(refusal({"--max_model_len=3"}), HasSubstr("the nearest one is --max-model-len"));
  EXPECT_THAT(refusal({"--host", "0.0.0.0"}), AllOf(HasSubstr("--host"), HasSubstr("--api-key")));
  EXPECT_THAT(refusal({"--host", "::"}), HasSubstr("--allow-unauthenticated"));
  EXPECT_THAT(refusal({"--api-key", ""}), HasSubstr("--api-key is empty"));
  EXPECT_THAT(refusal({"--max-model-len", "8q"}), HasSubstr("--max-model-len is '8q'"));
  EXPECT_THAT(refusal({"--max-model-len", "99K"}), HasSubstr("101376"));
  EXPECT_THAT(refusal({"--max-num-batched-tokens", "0"}), HasSubstr("--max-num-batched-tokens"));
  EXPECT_THAT(refusal({"--max-num-seqs", "0"}), HasSubstr("--max-num-seqs"));
  EXPECT_THAT(refusal({"--tensor-parallel-size", "2"}), HasSubstr("--tensor-parallel-size"));
  EXPECT_THAT(refusal({"--kv-cache-dtype", "int3"}), HasSubstr("--kv-cache-dtype"));
  EXPECT_THAT(refusal({"--gpu-memory-utilization", "1.5"}), HasSubstr("--gpu-memory-utilization"));
  EXPECT_THAT(refusal({"--kv-cache-memory-bytes", "-3"}), HasSubstr("--kv-cache-memory-bytes"));
  EXPECT_THAT(refusal({"--speculative-config", R"({"model": "x", "metod": "eagle3"})"}),
              HasSubstr("'method'"));
}

TEST(ServeCommandTest, RefusesAMemoryThatHoldsNoRequest) {
  TALON_REQUIRE_PATH(std::filesystem::path(kVerifier));
  const ProgramResult result = RunTalon({"serve", kVerifier, "--port", "0", "--max-model-len",
                                         "2048", "--kv-cache-memory-bytes", "1M"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("one request of 2048 tokens needs"),
                                HasSubstr("1.0 MiB are available")));
}

TEST(ServeCommandTest, ServesUntilSigterm) {
  TALON_REQUIRE_PATH(std::filesystem::path(kVerifier));
  const uint16_t port = FreePort();
  test::TalonProcess server({"serve", kDrafter, "--port", std::to_string(port), "--api-key",
                             "secret", "--trust-remote-code", "--no-enable-prefix-caching",
                             "--kv-cache-dtype", "fp8", "--gpu-memory-utilization", "0.5"});
  AwaitReady(server, port);
  EXPECT_THAT(Get(port, "/v1/models"), HasSubstr("401"));
  server.Signal(SIGTERM);
  const ProgramResult result = server.Wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part :
       {"listening on", "verifier ", "drafter ", "engine: ", "ready after", "shutting down",
        "--trust-remote-code: no effect", "prefix cache off",
        "KV cache: verifier FP8 E4M3, scales of 1.0; drafter FP8 E4M3, scales of 1.0", "0.50 of it",
        "most for the KV cache", "sliding layers", "8.0 requests of 2048 tokens"}) {
    EXPECT_THAT(result.err, HasSubstr(part));
  }
}

TEST(ServeCommandTest, KilledUnderLoadItStartsAgainOnTheSamePort) {
  TALON_REQUIRE_PATH(std::filesystem::path(kVerifier));
  const uint16_t port = FreePort();
  const std::vector<std::string> command = {"serve", kDrafter, "--port", std::to_string(port)};
  const std::string endless = R"({"prompt": "The dog", "max_tokens": 1500, "ignore_eos": true,
                                  "stream": true})";
  const std::string greedy = R"({"prompt": "The dog", "max_tokens": 16, "temperature": 0})";
  const auto text = [&] {
    const std::string reply = Ask(port, Completion(greedy));
    const size_t at = reply.find("\"text\"");
    EXPECT_NE(at, std::string::npos) << reply;
    return reply.substr(at, reply.find("\"}", at) - at);
  };
  std::string before;
  {
    test::TalonProcess server(command);
    AwaitReady(server, port);
    before = text();
    const std::array<Socket, 12> clients;
    for (const Socket& client : clients) ASSERT_TRUE(Send(client, port, Completion(endless)));
    char byte = 0;  // of the first stream: work has begun
    ASSERT_EQ(::recv(clients[0].descriptor(), &byte, 1, 0), 1);
    server.Signal(SIGKILL);
    EXPECT_EQ(server.Wait().exit_code, 128 + SIGKILL);
    while (::recv(clients[0].descriptor(), &byte, 1, 0) > 0) {
    }
  }
  test::TalonProcess again(command);
  AwaitReady(again, port);
  EXPECT_EQ(text(), before);
  again.Signal(SIGTERM);
  EXPECT_EQ(again.Wait().exit_code, 0);
}

}  // namespace
}  // namespace talon
