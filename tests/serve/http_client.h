// A blocking HTTP client on one connection, for tests of the server.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "talon/base/json.h"

namespace talon::test {

struct ClientReply {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  Json json() const { return Json::parse(body); }
};

class HttpClient {
 public:
  explicit HttpClient(uint16_t port);
  ~HttpClient();  // closes the connection

  ClientReply Get(const std::string& path) { return Ask("GET", path, ""); }
  ClientReply Post(const std::string& path, const Json& body) {
    return Ask("POST", path, body.dump());
  }
  ClientReply Ask(const std::string& method, const std::string& path, const std::string& body);

  // Sent with every request from now on.
  void SetHeader(const std::string& name, const std::string& value);

  // The pieces of Ask.
  void Send(const std::string& method, const std::string& path, const std::string& body);
  void SendRaw(const std::string& bytes);
  ClientReply Receive();
  // The bytes of the reply's beginning, at least one; empty at the end of the connection.
  std::string ReceiveSome();
  // Whether the server closes the connection without sending anything more.
  bool AwaitClose();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace talon::test
