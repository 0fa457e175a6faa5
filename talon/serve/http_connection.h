// One client's connection: a coroutine that reads requests and sends replies one after another.
// Internal to the HTTP server; includes Boost.Beast, so only its two .cc files include it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>

#include "talon/serve/http_handler.h"
#include "talon/serve/http_server.h"

namespace talon {

// Something to wait for on the network's thread: set by Set, or until then by the engine's thread.
class WakeEvent {
 public:
  explicit WakeEvent(boost::asio::io_context& io) : timer_(io) {}
  void Set();
  // Returns once Set was called since the last return.
  boost::asio::awaitable<void> Wait();

  bool peer_gone = false;
  bool finished = false;  // nobody waits any more

 private:
  boost::asio::steady_timer timer_;
  bool set_ = false;
};

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(std::shared_ptr<boost::asio::io_context> io, boost::asio::ip::tcp::socket socket,
                 HttpHandler& handler, const HttpServerOptions& options)
      : io_(std::move(io)), stream_(std::move(socket)), handler_(handler), options_(options) {}

  // Serves requests until the connection closes.
  boost::asio::awaitable<void> Run();
  // Closes after the reply that is being made; at once when there is none, or when `now`.
  void Close(bool now);

 private:
  class Pursuit;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  // Each tells whether the connection stays open for the next request.
  boost::asio::awaitable<bool> ServeOne();
  boost::asio::awaitable<bool> ReadHead(Parser& parser);
  boost::asio::awaitable<bool> ReadBody(Parser& parser);
  boost::asio::awaitable<bool> Send(const HttpReply& reply, bool keep_alive);
  boost::asio::awaitable<bool> Pursue(OngoingReply& ongoing, bool keep_alive);

  boost::asio::awaitable<bool> Forward(OngoingReply& ongoing, WakeEvent& event, bool keep_alive);
  boost::asio::awaitable<bool> SendStreamHead(bool keep_alive);
  boost::asio::awaitable<bool> SendEvents(const std::string& events, bool last);
  boost::asio::awaitable<void> WatchPeer(std::shared_ptr<WakeEvent> event);
  boost::asio::awaitable<void> Linger();

  std::shared_ptr<boost::asio::io_context> io_;
  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  HttpHandler& handler_;
  const HttpServerOptions& options_;
  std::shared_ptr<WakeEvent> pursuing_;  // while an answer is being made
  bool chunked_ = true;                  // false for an HTTP/1.0 client
  bool busy_ = false;
  bool closing_ = false;
};

}  // namespace talon
