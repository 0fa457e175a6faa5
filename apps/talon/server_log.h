// What `talon serve` and commands that open the same models say on stderr.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>
#include <utility>

namespace talon {

// "LEVEL 11-28 20:15:00 TEXT" on stderr.
inline void PrintLogLine(const char* level, const std::string& text) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char time[32];
  std::strftime(time, sizeof(time), "%m-%d %H:%M:%S", &local);
  fmt::print(stderr, "{} {} {}\n", level, time, text);
}

template <typename... Args>
void Log(fmt::format_string<Args...> format, Args&&... args) {
  PrintLogLine("INFO", fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  PrintLogLine("WARNING", fmt::format(format, std::forward<Args>(args)...));
}

// Prints how long each phase of the start took.
class StartupLog {
 public:
  template <typename... Args>
  void Phase(fmt::format_string<Args...> format, Args&&... args) {
    const std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now();
    Log("{} ({:.2f} s)", fmt::format(format, std::forward<Args>(args)...),
        std::chrono::duration<double>(now - last_).count());
    last_ = now;
  }
  double TotalSeconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_ = start_;
};

}  // namespace talon
