// The lines vLLM users grep for. Source: vLLM 0.32 v1/metrics/loggers.py,
// v1/spec_decode/metrics.py.
#include <fmt/format.h>

#include "talon/serve/serving_metrics.h"

namespace talon {
namespace {

std::string ThroughputLine(const MetricsTotals& before, const MetricsTotals& now, double seconds,
                           bool on_gpu) {
  std::string line = fmt::format(
      "Engine 000: Avg prompt throughput: {:.1f} tokens/s, Avg generation throughput: {:.1f} "
      "tokens/s, Running: {} reqs, Waiting: {} reqs, {} KV cache usage: {:.1f}%",
      static_cast<double>(now.prompt_tokens - before.prompt_tokens) / seconds,
      static_cast<double>(now.generation_tokens - before.generation_tokens) / seconds,
      now.load.running, now.load.waiting, on_gpu ? "GPU" : "CPU", 100.0 * now.load.kv_cache_usage);
  if (now.load.prefix_cache_queries > 0) {
    line += fmt::format(", Prefix cache hit rate: {:.1f}%",
                        100.0 * static_cast<double>(now.load.prefix_cache_hits) /
                            static_cast<double>(now.load.prefix_cache_queries));
  }
  return line;
}

std::string SpeculationLine(const MetricsTotals& before, const MetricsTotals& now, double seconds) {
  const auto drafts = static_cast<double>(now.num_drafts - before.num_drafts);
  const int64_t drafted = now.num_draft_tokens - before.num_draft_tokens;
  const int64_t accepted = now.num_accepted_tokens - before.num_accepted_tokens;
  std::string rates;
  for (size_t i = 0; i < now.accepted_per_pos.size(); ++i) {
    const auto count = static_cast<double>(now.accepted_per_pos[i] - before.accepted_per_pos[i]);
    rates += fmt::format("{}{:.3f}", i > 0 ? ", " : "", count / drafts);
  }
  return fmt::format(
      "SpecDecoding metrics: Mean acceptance length: {:.2f}, Accepted throughput: {:.2f} tokens/s, "
      "Drafted throughput: {:.2f} tokens/s, Accepted: {} tokens, Drafted: {} tokens, Per-position "
      "acceptance rate: {}, Avg Draft acceptance rate: {:.1f}%",
      1.0 + static_cast<double>(accepted) / drafts, static_cast<double>(accepted) / seconds,
      static_cast<double>(drafted) / seconds, accepted, drafted, rates,
      100.0 * static_cast<double>(accepted) / static_cast<double>(drafted));
}

}  // namespace

std::vector<std::string> FormatStatsLines(const MetricsTotals& before, const MetricsTotals& now,
                                          double seconds, bool on_gpu) {
  std::vector<std::string> lines;
  const bool busy = now.prompt_tokens > before.prompt_tokens ||
                    now.generation_tokens > before.generation_tokens || now.load.running > 0;
  if (!busy || !(seconds > 0.0)) return lines;
  lines.push_back(ThroughputLine(before, now, seconds, on_gpu));
  if (now.num_drafts > before.num_drafts && now.num_draft_tokens > before.num_draft_tokens) {
    lines.push_back(SpeculationLine(before, now, seconds));
  }
  return lines;
}

}  // namespace talon
