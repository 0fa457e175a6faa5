#include "talon/serve/http_server.h"

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <set>
#include <string_view>
#include <thread>

#include "talon/base/error.h"
#include "talon/serve/http_connection.h"

namespace talon {

namespace asio = boost::asio;
using boost::asio::ip::tcp;
using boost::system::error_code;

namespace {

auto Into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

}  // namespace

class HttpServer::Impl {
 public:
  Impl(HttpHandler& handler, const HttpServerOptions& options)
      : handler_(handler),
        options_(options),
        io_(std::make_shared<asio::io_context>()),
        acceptor_(*io_),
        deadline_(*io_) {
    Listen();
    asio::co_spawn(*io_, Accept(), [](const std::exception_ptr&) {});
    thread_ = std::thread([this] { io_->run(); });
  }

  uint16_t port() const { return port_; }
  int64_t num_connections() const { return num_connections_; }

  void Stop(std::chrono::milliseconds grace) {
    if (!thread_.joinable()) return;
    asio::post(*io_, [this, grace] {
      error_code ignored;
      acceptor_.close(ignored);
      for (HttpConnection* connection : connections_) connection->Close(/*now=*/false);
      deadline_.expires_after(grace);
      deadline_.async_wait([this](const error_code& cancelled) {
        if (cancelled) return;
        for (HttpConnection* connection : connections_) connection->Close(/*now=*/true);
      });
      stopping_ = true;
      if (connections_.empty()) deadline_.cancel();
    });
    thread_.join();
  }

 private:
  void Listen() {
    try {
      const auto found = tcp::resolver(*io_).resolve(options_.host, std::to_string(options_.port),
                                                     tcp::resolver::passive);
      const tcp::endpoint endpoint = found.begin()->endpoint();
      acceptor_.open(endpoint.protocol());
      acceptor_.set_option(tcp::acceptor::reuse_address(true));
      acceptor_.bind(endpoint);
      acceptor_.listen();
      port_ = acceptor_.local_endpoint().port();
    } catch (const boost::system::system_error& error) {
      Throw(ErrorCode::kFailedPrecondition, "cannot listen on {} port {}: {}", options_.host,
            options_.port, error.code().message());
    }
  }

  asio::awaitable<void> Accept() {
    asio::steady_timer pause(*io_);
    while (acceptor_.is_open()) {
      error_code error;
      tcp::socket socket = co_await acceptor_.async_accept(Into(error));
      if (!acceptor_.is_open()) co_return;
      if (error) {  // out of descriptors: wait for some to be closed
        pause.expires_after(std::chrono::milliseconds(100));
        co_await pause.async_wait(Into(error));
        continue;
      }
      if (num_connections_ >= options_.max_connections) {
        TurnAway(std::move(socket));
        continue;
      }
      Open(std::move(socket));
    }
  }

  // A new socket has room for one small write; a client that is too many gets no more than that.
  static void TurnAway(tcp::socket socket) {
    static constexpr std::string_view kReply =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
        "Content-Length: 0\r\n\r\n";
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(kReply), ignored);
  }

  void Open(tcp::socket socket) {
    const auto connection =
        std::make_shared<HttpConnection>(io_, std::move(socket), handler_, options_);
    connections_.insert(connection.get());
    ++num_connections_;
    // Run holds the connection; what it throws (out of memory) ends this connection alone.
    asio::co_spawn(*io_, connection->Run(), [this, connection](const std::exception_ptr&) {
      connections_.erase(connection.get());
      --num_connections_;
      if (stopping_ && connections_.empty()) deadline_.cancel();
    });
  }

  HttpHandler& handler_;
  const HttpServerOptions options_;
  std::shared_ptr<asio::io_context> io_;
  tcp::acceptor acceptor_;
  asio::steady_timer deadline_;  // of Stop
  uint16_t port_ = 0;
  std::atomic<int64_t> num_connections_ = 0;
  std::set<HttpConnection*> connections_;  // the network thread's
  bool stopping_ = false;
  std::thread thread_;
};

HttpServer::HttpServer(HttpHandler& handler, const HttpServerOptions& options)
    : impl_(std::make_unique<Impl>(handler, options)) {}

HttpServer::~HttpServer() { Stop(std::chrono::milliseconds(0)); }

uint16_t HttpServer::port() const { return impl_->port(); }
int64_t HttpServer::num_connections() const { return impl_->num_connections(); }
void HttpServer::Stop(std::chrono::milliseconds grace) { impl_->Stop(grace); }

}  // namespace talon
