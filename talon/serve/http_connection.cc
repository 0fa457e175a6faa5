#include "talon/serve/http_connection.h"

#include <poll.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <string>
#include <variant>

namespace talon {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr auto kLingerTime = std::chrono::seconds(1);
constexpr size_t kLingerBytes = size_t{1} << 20;
constexpr auto kPipelinedPeerCheck = std::chrono::milliseconds(100);

auto Into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

// Whether the other side has closed its end, seen without reading.
bool PeerHasClosed(int descriptor) {
  pollfd state{descriptor, POLLIN | POLLRDHUP, 0};
  return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

HttpRequest ToRequest(const http::request<http::string_body>& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.path = std::string(message.target().substr(0, message.target().find('?')));
  request.authorization = std::string(message[http::field::authorization]);
  return request;
}

}  // namespace

void WakeEvent::Set() {
  set_ = true;
  timer_.cancel();
}

asio::awaitable<void> WakeEvent::Wait() {
  while (!set_) {
    timer_.expires_at(std::chrono::steady_clock::time_point::max());
    error_code cancelled;
    co_await timer_.async_wait(Into(cancelled));
  }
  set_ = false;
}

asio::awaitable<void> HttpConnection::Run() {
  const std::shared_ptr<HttpConnection> self = shared_from_this();
  error_code ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  bool open = true;
  while (open && !closing_) {
    open = co_await ServeOne();
    busy_ = false;
  }
  co_await Linger();
}

void HttpConnection::Close(bool now) {
  closing_ = true;
  if (now && pursuing_) {
    pursuing_->peer_gone = true;
    pursuing_->Set();
  }
  if (now || !busy_) stream_.cancel();
}

// Lets the other side read the last reply: closing with unread bytes would take it back.
asio::awaitable<void> HttpConnection::Linger() {
  error_code error;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, error);
  stream_.expires_after(kLingerTime);
  size_t bytes = 0;
  while (!error && bytes < kLingerBytes && !closing_) {
    buffer_.clear();
    bytes += co_await stream_.async_read_some(buffer_.prepare(size_t{1} << 14), Into(error));
  }
  stream_.close();
}

asio::awaitable<bool> HttpConnection::ServeOne() {
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(options_.max_header_bytes));
  parser.body_limit(static_cast<std::uint64_t>(options_.max_body_bytes));
  if (!co_await ReadHead(parser)) co_return false;
  busy_ = true;
  chunked_ = parser.get().version() >= 11;
  HttpRequest request = ToRequest(parser.get());
  if (const std::unique_ptr<HttpReply> refusal = handler_.RefuseHead(request)) {
    // A body that was not read stands in the way of the next request.
    co_return co_await Send(*refusal, parser.is_done() && parser.keep_alive());
  }
  if (!co_await ReadBody(parser)) co_return false;
  const bool keep_alive = parser.keep_alive();
  request.body = std::move(parser.get().body());
  HttpResult result = handler_.Handle(request);
  if (const auto* reply = std::get_if<HttpReply>(&result)) {
    co_return co_await Send(*reply, keep_alive);
  }
  co_return co_await Pursue(*std::get<std::unique_ptr<OngoingReply>>(result), keep_alive);
}

asio::awaitable<bool> HttpConnection::ReadHead(Parser& parser) {
  error_code error;
  stream_.expires_after(options_.header_timeout);
  co_await http::async_read_header(stream_, buffer_, parser, Into(error));
  if (!error) co_return true;
  if (error == http::error::header_limit) {
    co_await Send(handler_.ErrorReply(431, "the request's headers are too large"), false);
  } else if (error == http::error::body_limit) {
    co_await Send(handler_.ErrorReply(413, "the request's body is too large"), false);
  } else if (error.category() == make_error_code(http::error::bad_method).category() &&
             error != http::error::end_of_stream && error != http::error::partial_message) {
    co_await Send(handler_.ErrorReply(400, "this is no HTTP request: " + error.message()), false);
  }
  co_return false;
}

asio::awaitable<bool> HttpConnection::ReadBody(Parser& parser) {
  error_code error;
  if (parser.is_done()) co_return true;
  stream_.expires_after(options_.body_timeout);
  if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    co_await asio::async_write(stream_, asio::buffer(kContinue), Into(error));
    if (error) co_return false;
  }
  co_await http::async_read(stream_, buffer_, parser, Into(error));
  if (!error) co_return true;
  if (error == http::error::body_limit) {
    co_await Send(handler_.ErrorReply(413, "the request's body is too large"), false);
  } else if (error != http::error::partial_message && error != beast::error::timeout) {
    co_await Send(handler_.ErrorReply(400, "the request's body is malformed"), false);
  }
  co_return false;
}

asio::awaitable<bool> HttpConnection::Send(const HttpReply& reply, bool keep_alive) {
  http::response<http::string_body> message(static_cast<http::status>(reply.status),
                                            chunked_ ? 11 : 10);
  message.set(http::field::server, "talon");
  message.set(http::field::content_type, reply.content_type);
  for (const auto& [name, value] : reply.headers) message.set(name, value);
  message.keep_alive(keep_alive && !closing_);
  message.body() = reply.body;
  message.prepare_payload();
  error_code error;
  stream_.expires_after(options_.write_timeout);
  co_await http::async_write(stream_, message, Into(error));
  co_return !error && keep_alive;
}

asio::awaitable<bool> HttpConnection::SendStreamHead(bool keep_alive) {
  http::response<http::empty_body> head(http::status::ok, chunked_ ? 11 : 10);
  head.set(http::field::server, "talon");
  head.set(http::field::content_type, "text/event-stream; charset=utf-8");
  head.set(http::field::cache_control, "no-cache");
  head.keep_alive(keep_alive && !closing_);
  head.chunked(chunked_);
  http::response_serializer<http::empty_body> serializer(head);
  error_code error;
  stream_.expires_after(options_.write_timeout);
  co_await http::async_write_header(stream_, serializer, Into(error));
  co_return !error;
}

asio::awaitable<bool> HttpConnection::SendEvents(const std::string& events, bool last) {
  error_code error;
  stream_.expires_after(options_.write_timeout);
  if (!chunked_) {
    co_await asio::async_write(stream_, asio::buffer(events), Into(error));
    co_return !error;
  }
  if (!events.empty()) {
    co_await asio::async_write(stream_, http::make_chunk(asio::buffer(events)), Into(error));
  }
  if (last && !error) co_await asio::async_write(stream_, http::make_chunk_last(), Into(error));
  co_return !error;
}

// While an answer is made nothing is read, so a client that goes away has to be looked for.
asio::awaitable<void> HttpConnection::WatchPeer(std::shared_ptr<WakeEvent> event) {
  const std::shared_ptr<HttpConnection> self = shared_from_this();
  asio::steady_timer pause(*io_);
  while (!event->finished) {
    error_code error;
    co_await stream_.socket().async_wait(asio::ip::tcp::socket::wait_read, Into(error));
    if (event->finished || error == asio::error::operation_aborted) co_return;
    if (error || PeerHasClosed(stream_.socket().native_handle())) {
      event->peer_gone = true;
      event->Set();
      co_return;
    }
    // Readable and alive: the next request came early. Its bytes stay where they are.
    pause.expires_after(kPipelinedPeerCheck);
    co_await pause.async_wait(Into(error));
  }
}

// Watches the peer for as long as it lives.
class HttpConnection::Pursuit {
 public:
  Pursuit(HttpConnection& connection, const std::shared_ptr<WakeEvent>& event)
      : connection_(connection) {
    connection.pursuing_ = event;
    asio::co_spawn(*connection.io_, connection.WatchPeer(event), asio::detached);
  }
  ~Pursuit() {
    connection_.pursuing_->finished = true;
    connection_.pursuing_.reset();
    error_code ignored;
    connection_.stream_.socket().cancel(ignored);  // nothing but WatchPeer waits on it now
  }
  Pursuit(const Pursuit&) = delete;
  Pursuit& operator=(const Pursuit&) = delete;

 private:
  HttpConnection& connection_;
};

asio::awaitable<bool> HttpConnection::Pursue(OngoingReply& ongoing, bool keep_alive) {
  const auto event = std::make_shared<WakeEvent>(*io_);
  const std::unique_ptr<HttpReply> refusal =
      ongoing.Start([io = io_, event] { asio::post(*io, [event] { event->Set(); }); });
  if (refusal) co_return co_await Send(*refusal, keep_alive);
  const Pursuit pursuit(*this, event);
  co_return co_await Forward(ongoing, *event, keep_alive);
}

asio::awaitable<bool> HttpConnection::Forward(OngoingReply& ongoing, WakeEvent& event,
                                              bool keep_alive) {
  bool streaming = false;
  while (true) {
    co_await event.Wait();
    if (event.peer_gone) co_return false;
    const OngoingReply::Progress progress = ongoing.Advance();
    if (progress.reply) co_return co_await Send(*progress.reply, keep_alive);
    if (!progress.events.empty()) {
      if (!streaming && !co_await SendStreamHead(keep_alive)) co_return false;
      streaming = true;
      if (!co_await SendEvents(progress.events, progress.finished)) co_return false;
    }
    if (progress.finished) co_return keep_alive&& chunked_;
  }
}

}  // namespace talon
