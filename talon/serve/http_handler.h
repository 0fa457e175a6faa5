// What the network asks of everything behind it. No sockets here: answers can be tested as values.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace talon {

struct HttpRequest {
  std::string method;         // "GET"
  std::string path;           // without the query
  std::string authorization;  // the header's value
  std::string body;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// An answer that takes a while. Used on one thread; destroying it ends its work.
class OngoingReply {
 public:
  OngoingReply() = default;
  OngoingReply(const OngoingReply&) = delete;
  OngoingReply& operator=(const OngoingReply&) = delete;
  virtual ~OngoingReply() = default;

  // Begins; `wake` may be called on any thread, from then on, whenever Advance has something new.
  // Returns a reply when the work is refused: then nothing has begun.
  virtual std::unique_ptr<HttpReply> Start(std::function<void()> wake) = 0;

  // What can be sent now. Either one whole reply, or a 200 event stream in pieces.
  struct Progress {
    std::unique_ptr<HttpReply> reply;
    std::string events;
    bool finished = false;
  };
  virtual Progress Advance() = 0;
};

using HttpResult = std::variant<HttpReply, std::unique_ptr<OngoingReply>>;

class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Judges a request by its head, before the body is read; a reply ends it.
  virtual std::unique_ptr<HttpReply> RefuseHead(const HttpRequest& head) const = 0;
  // Never throws: errors are replies.
  virtual HttpResult Handle(const HttpRequest& request) = 0;
  // An error found by the network itself (too large, malformed, too slow).
  virtual HttpReply ErrorReply(int status, const std::string& message) const = 0;
};

}  // namespace talon
