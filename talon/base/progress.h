// Progress of long work: a bar with ETA on a terminal, a plain line every few seconds elsewhere,
// and nothing with --quiet. Writes to stderr so that stdout stays clean for results.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace talon {

class Progress {
 public:
  // `unit` names what is counted, e.g. "conversations".
  Progress(std::string title, int64_t total, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Advance(int64_t count = 1);
  // Ends the line; called by the destructor when still open.
  void Finish();

  // Off for --quiet and in tests; the default is on.
  static void SetEnabled(bool enabled);

 private:
  using Clock = std::chrono::steady_clock;
  void Print(bool last);

  std::string title_;
  std::string unit_;
  int64_t total_;
  int64_t done_ = 0;
  bool terminal_;
  bool finished_ = false;
  Clock::time_point start_;
  Clock::time_point last_print_;
};

// True when stdout (1) or stderr (2) is a terminal; colours are used only then.
bool IsTerminal(int descriptor);

}  // namespace talon
