#include "tests/support/local_http.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <chrono>
#include <thread>

namespace talon::test {
namespace {

sockaddr_in LocalAddress(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

uint16_t FreePort() {
  const Socket socket;
  sockaddr_in address = LocalAddress(0);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(socket.descriptor(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket.descriptor(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

bool Send(const Socket& socket, uint16_t port, const std::string& request) {
  const sockaddr_in address = LocalAddress(port);
  return ::connect(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address),
                   sizeof(address)) == 0 &&
         ::send(socket.descriptor(), request.data(), request.size(), MSG_NOSIGNAL) > 0;
}

std::string Ask(uint16_t port, const std::string& request) {
  const Socket socket;
  if (!Send(socket, port, request)) return "";
  std::string reply;
  char bytes[1024];
  for (ssize_t size = 0; (size = ::recv(socket.descriptor(), bytes, sizeof(bytes), 0)) > 0;) {
    reply.append(bytes, static_cast<size_t>(size));
  }
  return reply;
}

std::string Get(uint16_t port, const std::string& path) {
  return Ask(port, "GET " + path + " HTTP/1.0\r\n\r\n");
}

void AwaitReady(TalonProcess& server, uint16_t port) {
  while (server.Running() && Get(port, "/health").find("200 OK") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace talon::test
