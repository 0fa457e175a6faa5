// What the server counts, under vLLM's metric names, and the lines vLLM logs about it. Thread-safe.
// Source: vLLM 0.32 v1/metrics/{loggers,buckets}.py, v1/spec_decode/metrics.py.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace talon {

class MetricsWriter;

// The engine's state after a step.
struct EngineLoad {
  int64_t running = 0;
  int64_t waiting = 0;
  double kv_cache_usage = 0.0;       // share of all pages, 0 .. 1
  int64_t prefix_cache_queries = 0;  // tokens asked for so far
  int64_t prefix_cache_hits = 0;     // tokens found so far
  int64_t preemptions = 0;
};

enum class EndReason : uint8_t { kStop, kLength, kAbort, kError };
std::string_view Name(EndReason reason);

// One sequence's life, in seconds and tokens.
struct RequestRecord {
  EndReason reason = EndReason::kStop;
  double total_s = 0.0;
  double queue_s = 0.0;        // until a step took it up
  double first_token_s = 0.0;  // from arrival
  int64_t prompt_tokens = 0;
  int64_t generation_tokens = 0;
  int64_t max_tokens = 0;
};

// Sums that only grow; the log lines are made of their differences.
struct MetricsTotals {
  int64_t prompt_tokens = 0;
  int64_t generation_tokens = 0;
  int64_t num_drafts = 0;  // rounds that verified drafts
  int64_t num_draft_tokens = 0;
  int64_t num_accepted_tokens = 0;
  std::vector<int64_t> accepted_per_pos;  // [k]
  EngineLoad load;
};

class ServingMetrics {
 public:
  // `num_speculative_tokens` 0: no speculative metrics.
  ServingMetrics(std::string model_name, int64_t max_model_len, int64_t num_speculative_tokens);
  ~ServingMetrics();

  void SetLoad(const EngineLoad& load);
  // Every step: tokens it brought, prompts it finished reading included.
  void CountStep(int64_t tokens);
  // A sequence's prompt was read and its first token is there.
  void CountFirstToken(int64_t prompt_tokens, double seconds_since_arrival);
  void CountTokens(int64_t tokens);
  // Between two outputs of one sequence, whatever the number of tokens (as vLLM does).
  void CountInterTokenLatency(double seconds);
  void CountRound(int64_t num_drafts, int64_t num_accepted);
  void CountFinished(const RequestRecord& record);
  void CountRejected();
  // Acceptance lengths of the acceptance guard's prompts.
  void SetAcceptance(double expected_length, double measured_length, bool low);

  std::string Render() const;
  MetricsTotals Totals() const;

 private:
  struct Histograms;
  // All with mutex_ held.
  void RenderSpeculative(MetricsWriter& out) const;
  void RenderAcceptance(MetricsWriter& out) const;
  void RenderHistograms(MetricsWriter& out) const;

  const std::string model_name_;
  const bool speculative_;
  mutable std::mutex mutex_;
  MetricsTotals totals_;
  std::map<EndReason, int64_t> finished_;
  int64_t rejected_ = 0;
  struct Acceptance {
    double expected_length = 1.0;
    double measured_length = 1.0;
    bool low = false;
  };
  std::optional<Acceptance> acceptance_;  // none: not compared
  std::unique_ptr<Histograms> histograms_;
};

// vLLM's periodic log lines for what happened between two readings; none when idle.
std::vector<std::string> FormatStatsLines(const MetricsTotals& before, const MetricsTotals& now,
                                          double seconds, bool on_gpu);

}  // namespace talon
