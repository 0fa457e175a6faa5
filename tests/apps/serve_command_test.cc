// `talon serve` from the outside: flags, and the way from start to SIGTERM.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "tests/support/run_talon.h"

namespace talon {
namespace {

using test::ProgramResult;
using test::RunTalon;
using testing::AllOf;
using testing::HasSubstr;

const std::string kVerifier = std::string(TALON_SOURCE_DIR) + "/models/demo/verifier";
const std::string kDrafter = std::string(TALON_SOURCE_DIR) + "/models/demo/drafter";

class Socket {
 public:
  Socket() : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {}
  ~Socket() { ::close(descriptor_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

sockaddr_in LocalAddress(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

uint16_t FreePort() {
  const Socket socket;
  sockaddr_in address = LocalAddress(0);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(socket.descriptor(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket.descriptor(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

// The whole reply to a GET; empty when nobody listens.
std::string Get(uint16_t port, const std::string& path) {
  const Socket socket;
  const sockaddr_in address = LocalAddress(port);
  if (::connect(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) != 0) {
    return "";
  }
  const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
  if (::send(socket.descriptor(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string reply;
  char bytes[1024];
  for (ssize_t size = 0; (size = ::recv(socket.descriptor(), bytes, sizeof(bytes), 0)) > 0;) {
    reply.append(bytes, static_cast<size_t>(size));
  }
  return reply;
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
  while (server.Running() && Get(port, "/health").find("200 OK") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
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

}  // namespace
}  // namespace talon
