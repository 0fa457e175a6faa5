#include "talon/serve/prometheus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace talon {

std::string FormatLabels(const MetricLabels& labels) {
  if (labels.empty()) return "";
  std::string text = "{";
  for (const auto& [name, value] : labels) {
    if (text.size() > 1) text += ',';
    text += name + "=\"";
    for (const char c : value) {
      if (c == '\n') {
        text += "\\n";
        continue;
      }
      if (c == '\\' || c == '"') text += '\\';
      text += c;
    }
    text += '"';
  }
  return text + "}";
}

std::string FormatNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

void Histogram::Observe(double value) {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  ++counts_[static_cast<size_t>(bucket)];
  ++count_;
  sum_ += value;
}

void MetricsWriter::Head(std::string_view name, std::string_view help, std::string_view type) {
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void MetricsWriter::Sample(std::string_view name, const MetricLabels& labels, double value) {
  text_ += fmt::format("{}{} {}\n", name, FormatLabels(labels), FormatNumber(value));
}

void MetricsWriter::Gauge(std::string_view name, std::string_view help, double value) {
  Head(name, help, "gauge");
  Sample(name, labels_, value);
}

void MetricsWriter::Counter(std::string_view name, std::string_view help, double value) {
  Head(name, help, "counter");
  Sample(name, labels_, value);
}

void MetricsWriter::CounterBy(std::string_view name, std::string_view help,
                              const std::string& label,
                              const std::vector<std::pair<std::string, double>>& values) {
  Head(name, help, "counter");
  for (const auto& [label_value, value] : values) {
    MetricLabels labels = labels_;
    labels.emplace_back(label, label_value);
    Sample(name, labels, value);
  }
}

void MetricsWriter::Write(std::string_view name, std::string_view help,
                          const Histogram& histogram) {
  Head(name, help, "histogram");
  const std::string bucket_name = fmt::format("{}_bucket", name);
  int64_t at_most = 0;  // buckets are cumulative
  for (size_t i = 0; i < histogram.counts().size(); ++i) {
    at_most += histogram.counts()[i];
    MetricLabels labels = labels_;
    labels.emplace_back("le", i < histogram.bounds().size() ? FormatNumber(histogram.bounds()[i])
                                                            : std::string("+Inf"));
    Sample(bucket_name, labels, static_cast<double>(at_most));
  }
  Sample(fmt::format("{}_count", name), labels_, static_cast<double>(histogram.count()));
  Sample(fmt::format("{}_sum", name), labels_, histogram.sum());
}

}  // namespace talon
