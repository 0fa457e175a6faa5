// Counters, gauges and histograms in Prometheus' text exposition format 0.0.4. Not synchronized.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace talon {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

// `{model_name="a",engine="0"}`, with values escaped; empty without labels.
std::string FormatLabels(const MetricLabels& labels);
// As Prometheus reads numbers: shortest form that keeps the value, "+Inf", "NaN".
std::string FormatNumber(double value);

class Histogram {
 public:
  // Upper bounds, ascending, without +Inf.
  explicit Histogram(std::vector<double> bounds);
  void Observe(double value);

  const std::vector<double>& bounds() const { return bounds_; }
  const std::vector<int64_t>& counts() const { return counts_; }  // per bucket, +Inf last
  int64_t count() const { return count_; }
  double sum() const { return sum_; }

 private:
  std::vector<double> bounds_;
  std::vector<int64_t> counts_;
  int64_t count_ = 0;
  double sum_ = 0.0;
};

// Writes metric families one after another; labels given here are put on every sample.
class MetricsWriter {
 public:
  explicit MetricsWriter(MetricLabels labels) : labels_(std::move(labels)) {}

  void Gauge(std::string_view name, std::string_view help, double value);
  // `name` ends in _total.
  void Counter(std::string_view name, std::string_view help, double value);
  // One sample per label value.
  void CounterBy(std::string_view name, std::string_view help, const std::string& label,
                 const std::vector<std::pair<std::string, double>>& values);
  void Write(std::string_view name, std::string_view help, const Histogram& histogram);

  const std::string& text() const { return text_; }

 private:
  void Head(std::string_view name, std::string_view help, std::string_view type);
  void Sample(std::string_view name, const MetricLabels& labels, double value);

  MetricLabels labels_;
  std::string text_;
};

}  // namespace talon
