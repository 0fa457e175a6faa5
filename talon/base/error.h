// The one exception type of Talon: a code and a sentence that says what was found, what was
// expected and what to do. Thrown at boundaries (files, requests, flags), translated once in main()
// to an exit code and once in the server to an HTTP status. Kernels never throw.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace talon {

enum class ErrorCode {
  kInvalidArgument,     // A flag, request field or argument is wrong.
  kNotFound,            // A file, tensor or model is missing.
  kDataLoss,            // A file is malformed, truncated or inconsistent.
  kUnsupported,         // Understood, but Talon does not implement it.
  kResourceExhausted,   // Memory, disk, pages or context length.
  kFailedPrecondition,  // The state forbids the operation (e.g. the output exists).
  kInternal,            // A bug in Talon.
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// Process exit code for an error: 2 for what the caller got wrong on the command line, 1 otherwise.
int ExitCode(ErrorCode code);

template <typename... Args>
[[noreturn]] void Throw(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// A broken invariant inside Talon (never bad input): throws kInternal.
void CheckInternal(bool condition, const char* what);

}  // namespace talon
