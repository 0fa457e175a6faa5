#include "tests/serve/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace talon::test {

namespace asio = boost::asio;
namespace http = boost::beast::http;

struct HttpClient::Impl {
  asio::io_context io;
  asio::ip::tcp::socket socket{io};
  boost::beast::flat_buffer buffer;
  std::map<std::string, std::string> headers;
};

HttpClient::HttpClient(uint16_t port) : impl_(std::make_unique<Impl>()) {
  impl_->socket.connect({asio::ip::make_address("127.0.0.1"), port});
}

HttpClient::~HttpClient() = default;

void HttpClient::SetHeader(const std::string& name, const std::string& value) {
  impl_->headers[name] = value;
}

void HttpClient::Send(const std::string& method, const std::string& path, const std::string& body) {
  http::request<http::string_body> request(http::string_to_verb(method), path, 11);
  request.set(http::field::host, "127.0.0.1");
  for (const auto& [name, value] : impl_->headers) request.set(name, value);
  request.body() = body;
  request.prepare_payload();
  http::write(impl_->socket, request);
}

void HttpClient::SendRaw(const std::string& bytes) {
  asio::write(impl_->socket, asio::buffer(bytes));
}

ClientReply HttpClient::Receive() {
  http::response<http::string_body> response;
  http::read(impl_->socket, impl_->buffer, response);
  ClientReply reply;
  reply.status = static_cast<int>(response.result_int());
  for (const auto& field : response) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    reply.headers[name] = std::string(field.value());
  }
  reply.body = std::move(response.body());
  return reply;
}

ClientReply HttpClient::Ask(const std::string& method, const std::string& path,
                            const std::string& body) {
  Send(method, path, body);
  return Receive();
}

std::string HttpClient::ReceiveSome() {
  std::string bytes(4096, '\0');
  boost::system::error_code error;
  bytes.resize(impl_->socket.read_some(asio::buffer(bytes), error));
  return bytes;
}

bool HttpClient::AwaitClose() { return ReceiveSome().empty(); }

}  // namespace talon::test
