// Timing and the lines that `talon bench` prints: each with its bytes, its rate and its share of
// the read bandwidth measured in the same run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "talon/backend/backend.h"

namespace talon {

// The middle value, the upper one of two; `values` is not empty.
double Median(std::vector<double> values);

class BenchReport {
 public:
  // Measures the backend's read bandwidth and prints the head.
  explicit BenchReport(Backend& backend);

  Backend& backend() const { return backend_; }
  double read_bytes_per_second() const { return read_bytes_per_second_; }
  void Section(const std::string& title) const;
  // "NAME  TIME  MB  GB/s  share" and `note`.
  void Line(const std::string& name, double seconds, int64_t bytes,
            const std::string& note = "") const;

  // Median seconds of one run of the recorded ops, each run waited for.
  double MedianSeconds(RecordedOps& recording, int runs = 15) const;
  // Runs `ops` once, records them and times the recording.
  double TimeOps(const std::function<void()>& ops, int runs = 15) const;

 private:
  Backend& backend_;
  double read_bytes_per_second_ = 0.0;
};

}  // namespace talon
