// Plain sockets to a server of this machine, for tests of whole programs.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "tests/support/run_talon.h"

namespace talon::test {

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

uint16_t FreePort();

// Connects and sends; false when nobody listens.
bool Send(const Socket& socket, uint16_t port, const std::string& request);
// The whole reply to a request that ends the connection; empty when nobody listens.
std::string Ask(uint16_t port, const std::string& request);
std::string Get(uint16_t port, const std::string& path);

// Waits until /health says that the server answers, or the server has ended.
void AwaitReady(TalonProcess& server, uint16_t port);

}  // namespace talon::test
