#include "talon/bench/load_client.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cmath>
#include <random>

#include "talon/base/error.h"
#include "talon/bench/event_reader.h"

namespace talon {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

http::request<http::string_body> MakeRequest(const ServerAddress& server, const std::string& path,
                                             const std::string& body) {
  http::request<http::string_body> request(body.empty() ? http::verb::get : http::verb::post, path,
                                           11);
  request.set(http::field::host, server.host);
  request.keep_alive(false);
  if (!server.api_key.empty()) {
    request.set(http::field::authorization, "Bearer " + server.api_key);
  }
  if (!body.empty()) request.set(http::field::content_type, "application/json");
  request.body() = body;
  request.prepare_payload();
  return request;
}

tcp::resolver::results_type Resolve(asio::io_context& io, const ServerAddress& server) {
  try {
    return tcp::resolver(io).resolve(server.host, std::to_string(server.port));
  } catch (const boost::system::system_error& error) {
    Throw(ErrorCode::kFailedPrecondition, "{} port {}: {}", server.host, server.port,
          error.code().message());
  }
}

// One event loop that sends all requests when it is their time.
class Load {
 public:
  Load(const ServerAddress& server, const std::string& path, const std::vector<Json>& bodies,
       const Traffic& traffic, const std::function<void()>& on_done)
      : server_(server),
        path_(path),
        bodies_(bodies),
        traffic_(traffic),
        on_done_(on_done),
        endpoints_(Resolve(io_, server)),
        random_(traffic.seed),
        place_free_(io_, Clock::time_point::max()) {
    result_.requests.resize(bodies.size());
  }

  LoadResult Run() {
    start_ = Clock::now();
    asio::co_spawn(io_, SendAll(), asio::detached);
    io_.run();
    result_.duration_s = SecondsSince(start_);
    return std::move(result_);
  }

 private:
  double NextGapS() {
    if (std::isinf(traffic_.requests_per_second)) return 0.0;
    std::gamma_distribution<double> gap(traffic_.burstiness,
                                        1.0 / (traffic_.requests_per_second * traffic_.burstiness));
    return gap(random_);
  }

  asio::awaitable<void> SendAll() {
    asio::steady_timer timer(io_);
    double due_s = 0.0;
    for (size_t i = 0; i < bodies_.size(); ++i) {
      if (i > 0) due_s += NextGapS();
      timer.expires_at(start_ + std::chrono::duration_cast<Clock::duration>(
                                    std::chrono::duration<double>(due_s)));
      co_await timer.async_wait(asio::use_awaitable);
      const Clock::time_point due = Clock::now();
      while (traffic_.max_concurrency > 0 && in_flight_ >= traffic_.max_concurrency) {
        boost::system::error_code woken;
        co_await place_free_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
      }
      ++in_flight_;
      result_.requests[i].queue_s = SecondsSince(due);
      asio::co_spawn(io_, Send(i), asio::detached);
    }
  }

  asio::awaitable<void> Send(size_t i) {
    RequestTiming& timing = result_.requests[i];
    try {
      co_await Exchange(bodies_[i].dump(), timing);
    } catch (const std::exception& error) {
      timing.error = error.what();
      timing.success = false;
    }
    --in_flight_;
    place_free_.cancel_one();
    if (on_done_) on_done_();
  }

  asio::awaitable<void> Exchange(const std::string& body, RequestTiming& timing) {
    const auto request = MakeRequest(server_, path_, body);
    tcp::socket socket(io_);
    const Clock::time_point start = Clock::now();
    timing.start_s = std::chrono::duration<double>(start - start_).count();
    co_await asio::async_connect(socket, endpoints_, asio::use_awaitable);
    co_await http::async_write(socket, request, asio::use_awaitable);
    boost::beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(boost::none);
    co_await http::async_read_header(socket, buffer, parser, asio::use_awaitable);
    EventReader reader(timing);
    const bool stream = parser.get().result() == http::status::ok;
    std::string& bytes = parser.get().body();
    while (!parser.is_done()) {
      co_await http::async_read_some(socket, buffer, parser, asio::use_awaitable);
      if (!stream) continue;
      reader.Add(bytes, SecondsSince(start));
      bytes.clear();
    }
    if (stream) {
      reader.Finish();
    } else {
      timing.error = fmt::format("{} {}", parser.get().result_int(), bytes);
    }
  }

  asio::io_context io_;
  const ServerAddress& server_;
  const std::string& path_;
  const std::vector<Json>& bodies_;
  const Traffic& traffic_;
  const std::function<void()>& on_done_;
  tcp::resolver::results_type endpoints_;
  std::mt19937_64 random_;
  asio::steady_timer place_free_;  // never expires: cancelled when a request ends
  int64_t in_flight_ = 0;
  Clock::time_point start_;
  LoadResult result_;
};

}  // namespace

std::string AskServer(const ServerAddress& server, const std::string& path,
                      const std::string& body) {
  asio::io_context io;
  http::response<http::string_body> response;
  try {
    tcp::socket socket(io);
    asio::connect(socket, Resolve(io, server));
    http::write(socket, MakeRequest(server, path, body));
    boost::beast::flat_buffer buffer;
    http::read(socket, buffer, response);
  } catch (const boost::system::system_error& error) {
    Throw(ErrorCode::kFailedPrecondition, "no answer from {} port {}: {}; is the server running?",
          server.host, server.port, error.code().message());
  }
  if (response.result() != http::status::ok) {
    Throw(ErrorCode::kFailedPrecondition, "{} port {} answers {} with {} {}", server.host,
          server.port, path, response.result_int(), response.body());
  }
  return std::move(response.body());
}

LoadResult RunLoad(const ServerAddress& server, const std::string& path,
                   const std::vector<Json>& bodies, const Traffic& traffic,
                   const std::function<void()>& on_done) {
  return Load(server, path, bodies, traffic, on_done).Run();
}

}  // namespace talon
