// A request the server refuses: an Error that may name the request's field and, when the server is
// full, the seconds after which to try again.
#pragma once

#include <string>
#include <utility>

#include "talon/base/error.h"

namespace talon {

class RequestError : public Error {
 public:
  RequestError(ErrorCode code, const std::string& message, std::string param, int retry_after_s = 0)
      : Error(code, message), param_(std::move(param)), retry_after_s_(retry_after_s) {}

  const std::string& param() const { return param_; }   // empty: no one field is to blame
  int retry_after_s() const { return retry_after_s_; }  // 0: no Retry-After

 private:
  std::string param_;
  int retry_after_s_;
};

// Refuses a field (HTTP 400). The sentence should name it: `message` follows the field's name.
template <typename... Args>
[[noreturn]] void RefuseField(const std::string& field, fmt::format_string<Args...> format,
                              Args&&... args) {
  throw RequestError(ErrorCode::kInvalidArgument,
                     fmt::format("{} {}", field, fmt::format(format, std::forward<Args>(args)...)),
                     field);
}

}  // namespace talon
