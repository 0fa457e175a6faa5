#include "talon/base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <utility>

namespace talon {
namespace {

std::atomic<bool> enabled{true};

std::string Duration(double seconds) {
  const int64_t whole = std::lround(seconds);
  if (whole >= 3600) {
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

bool IsTerminal(int descriptor) { return ::isatty(descriptor) == 1; }

void Progress::SetEnabled(bool on) { enabled.store(on); }

Progress::Progress(std::string title, int64_t total, std::string unit)
    : title_(std::move(title)),
      unit_(std::move(unit)),
      total_(total),
      terminal_(IsTerminal(STDERR_FILENO)),
      start_(Clock::now()),
      last_print_(start_) {}

Progress::~Progress() { Finish(); }

void Progress::Advance(int64_t count) {
  done_ += count;
  const std::chrono::milliseconds interval(terminal_ ? 100 : 10000);
  if (Clock::now() - last_print_ < interval) return;
  Print(/*last=*/false);
}

void Progress::Finish() {
  if (std::exchange(finished_, true)) return;
  Print(/*last=*/true);
}

void Progress::Print(bool last) {
  if (!enabled.load()) return;
  last_print_ = Clock::now();
  const double seconds = std::chrono::duration<double>(last_print_ - start_).count();
  const double share = total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 0;
  std::string line = fmt::format("{}: {}/{} {}", title_, done_, total_, unit_);
  if (last) {
    line += fmt::format(" in {}", Duration(seconds));
  } else if (done_ > 0 && share <= 1) {
    line += fmt::format(", {} left", Duration(seconds / share - seconds));
  }
  if (!terminal_) {
    fmt::print(stderr, "{}\n", line);
    return;
  }
  const int width = 24;
  const int full = std::min(width, static_cast<int>(share * width));
  const std::string bar = std::string(static_cast<size_t>(full), '#') +
                          std::string(static_cast<size_t>(width - full), '.');
  fmt::print(stderr, "\r\033[K[{}] {}{}", bar, line, last ? "\n" : "");
  std::fflush(stderr);
}

}  // namespace talon
