#include "talon/bench/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace talon {

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

BenchReport::BenchReport(Backend& backend) : backend_(backend) {
  read_bytes_per_second_ = backend.MeasureReadBandwidth();
  fmt::print("device: {}\nstreaming read: {:.0f} GB/s; shares are of it\n", backend.Description(),
             read_bytes_per_second_ * 1e-9);
}

void BenchReport::Section(const std::string& title) const {
  fmt::print("\n{}\n{:<34}{:>12}{:>12}{:>9}{:>9}\n", title, "", "us", "MB", "GB/s", "share");
}

void BenchReport::Line(const std::string& name, double seconds, int64_t bytes,
                       const std::string& note) const {
  const double rate = static_cast<double>(bytes) / seconds;
  fmt::print("{:<34}{:>12.2f}{:>12.2f}{:>9.0f}{:>8.1f}%  {}\n", name, seconds * 1e6,
             static_cast<double>(bytes) * 1e-6, rate * 1e-9, 100.0 * rate / read_bytes_per_second_,
             note);
}

double BenchReport::MedianSeconds(RecordedOps& recording, int runs) const {
  recording.Run();  // the first one also moves the recording to the device
  backend_.Synchronize();
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    recording.Run();
    backend_.Synchronize();
    times.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return Median(std::move(times));
}

double BenchReport::TimeOps(const std::function<void()>& ops, int runs) const {
  ops();
  backend_.Synchronize();
  return MedianSeconds(*backend_.Record(ops), runs);
}

}  // namespace talon
