// HTTP/1.1 over TCP: accepts connections, reads requests within limits, hands them to an
// HttpHandler and sends what it answers, event streams included. One thread; nothing here blocks
// it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "talon/serve/http_handler.h"

namespace talon {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8000;  // 0: any free one
  int64_t max_connections = 1024;
  int64_t max_header_bytes = int64_t{16} << 10;
  int64_t max_body_bytes = int64_t{8} << 20;
  // A connection may stay silent this long between requests; a request's head must come whole
  // within it too.
  std::chrono::milliseconds header_timeout{30'000};
  std::chrono::milliseconds body_timeout{60'000};
  // A client must take what it is sent within this time, or its request is cancelled.
  std::chrono::milliseconds write_timeout{30'000};
};

class HttpServer {
 public:
  // Listens at once; throws kFailedPrecondition when the address cannot be used. `handler` outlives
  // the server.
  HttpServer(HttpHandler& handler, const HttpServerOptions& options);
  // Stop(0).
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;
  int64_t num_connections() const;

  // Takes no more connections; those that wait for a request are closed at once, those that answer
  // one when the answer is sent or `grace` has passed. Returns when none is left.
  void Stop(std::chrono::milliseconds grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace talon
