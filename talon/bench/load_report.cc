#include "talon/bench/load_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

namespace talon {
namespace {

constexpr double kMs = 1000.0;

double Percentile(const std::vector<double>& sorted, double percent) {
  const double at = percent / 100.0 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

Distribution Describe(std::vector<double> seconds, const std::vector<double>& percentiles) {
  if (seconds.empty()) seconds.push_back(0.0);
  std::sort(seconds.begin(), seconds.end());
  const auto count = static_cast<double>(seconds.size());
  const double mean = std::accumulate(seconds.begin(), seconds.end(), 0.0) / count;
  double square = 0.0;
  for (const double value : seconds) square += (value - mean) * (value - mean);
  Distribution distribution;
  distribution.mean_ms = kMs * mean;
  distribution.median_ms = kMs * Percentile(seconds, 50.0);
  distribution.std_ms = kMs * std::sqrt(square / count);
  for (const double percent : percentiles) {
    distribution.percentiles_ms.push_back(kMs * Percentile(seconds, percent));
  }
  return distribution;
}

// Pieces and requests by the second in which they happened.
void CountSeconds(const LoadResult& result, LoadFigures& figures) {
  std::vector<int64_t> pieces;
  std::vector<int64_t> requests;
  const auto count = [](std::vector<int64_t>& seconds, double at) {
    const auto index = static_cast<size_t>(at);
    if (index >= seconds.size()) seconds.resize(index + 1);
    ++seconds[index];
  };
  for (const RequestTiming& timing : result.requests) {
    if (!timing.success) continue;
    double at = timing.start_s + timing.first_token_s;
    count(pieces, at);
    for (const double gap : timing.gaps_s) count(pieces, at += gap);
    const double end = std::floor(timing.start_s + timing.latency_s);
    for (double second = std::floor(timing.start_s); second <= end; ++second) {
      count(requests, second);
    }
  }
  if (pieces.empty()) return;
  figures.max_output_tokens_per_s =
      static_cast<double>(*std::max_element(pieces.begin(), pieces.end()));
  figures.max_concurrent_requests = *std::max_element(requests.begin(), requests.end());
}

// 99 as "99", 99.9 as "99.9".
std::string PercentileName(double percent) { return fmt::format("{:g}", percent); }

std::array<std::pair<const char*, const Distribution*>, 4> Named(const LoadFigures& figures) {
  return {{{"ttft", &figures.ttft},
           {"tpot", &figures.tpot},
           {"itl", &figures.itl},
           {"e2el", &figures.e2el}}};
}

double PerSecond(double count, const LoadFigures& figures) { return count / figures.duration_s; }

// The number after a metric's name and labels; the sum over all lines of it.
std::optional<double> MetricSum(const std::string& metrics, const std::string& name) {
  std::optional<double> sum;
  for (size_t at = metrics.find(name); at != std::string::npos; at = metrics.find(name, at + 1)) {
    const size_t end = std::min(metrics.find('\n', at), metrics.size());
    const bool own_line = at == 0 || metrics[at - 1] == '\n';
    if (!own_line) continue;
    const size_t space = metrics.rfind(' ', end);
    sum = sum.value_or(0.0) + std::strtod(metrics.c_str() + space + 1, nullptr);
  }
  return sum;
}

}  // namespace

LoadFigures ComputeFigures(const LoadResult& result, const std::vector<double>& percentiles) {
  LoadFigures figures;
  figures.duration_s = result.duration_s;
  figures.percentiles = percentiles;
  std::vector<double> ttfts;
  std::vector<double> tpots;
  std::vector<double> gaps;
  std::vector<double> latencies;
  for (const RequestTiming& timing : result.requests) {
    if (!timing.success) {
      ++figures.failed;
      continue;
    }
    ++figures.completed;
    figures.input_tokens += timing.input_tokens;
    figures.output_tokens += timing.output_tokens;
    ttfts.push_back(timing.first_token_s);
    latencies.push_back(timing.latency_s);
    gaps.insert(gaps.end(), timing.gaps_s.begin(), timing.gaps_s.end());
    if (timing.output_tokens > 1) {
      tpots.push_back((timing.latency_s - timing.first_token_s) /
                      static_cast<double>(timing.output_tokens - 1));
    }
  }
  figures.ttft = Describe(std::move(ttfts), percentiles);
  figures.tpot = Describe(std::move(tpots), percentiles);
  figures.itl = Describe(std::move(gaps), percentiles);
  figures.e2el = Describe(std::move(latencies), percentiles);
  CountSeconds(result, figures);
  return figures;
}

std::optional<DraftFigures> ReadDraftFigures(const std::string& metrics) {
  const std::string prefix = "vllm:spec_decode_num_";
  const auto drafts = MetricSum(metrics, prefix + "drafts_total{");
  if (!drafts) return std::nullopt;
  DraftFigures figures;
  figures.drafts = *drafts;
  figures.draft_tokens = MetricSum(metrics, prefix + "draft_tokens_total{").value_or(0.0);
  figures.accepted_tokens = MetricSum(metrics, prefix + "accepted_tokens_total{").value_or(0.0);
  const std::string per_pos = prefix + "accepted_tokens_per_pos_total{";
  for (size_t at = metrics.find(per_pos); at != std::string::npos;
       at = metrics.find(per_pos, at + 1)) {
    const size_t space = metrics.rfind(' ', metrics.find('\n', at));
    figures.accepted_per_pos.push_back(std::strtod(metrics.c_str() + space + 1, nullptr));
  }
  return figures;
}

DraftFigures Difference(const DraftFigures& before, const DraftFigures& after) {
  DraftFigures figures = after;
  figures.drafts -= before.drafts;
  figures.draft_tokens -= before.draft_tokens;
  figures.accepted_tokens -= before.accepted_tokens;
  for (size_t i = 0; i < std::min(before.accepted_per_pos.size(), after.accepted_per_pos.size());
       ++i) {
    figures.accepted_per_pos[i] -= before.accepted_per_pos[i];
  }
  return figures;
}

Json FiguresJson(const LoadFigures& figures, const LoadResult& result, bool detailed) {
  const auto output = static_cast<double>(figures.output_tokens);
  const auto input = static_cast<double>(figures.input_tokens);
  Json json = {{"duration", figures.duration_s},
               {"completed", figures.completed},
               {"failed", figures.failed},
               {"total_input_tokens", figures.input_tokens},
               {"total_output_tokens", figures.output_tokens},
               {"request_throughput", PerSecond(static_cast<double>(figures.completed), figures)},
               {"request_goodput", nullptr},
               {"output_throughput", PerSecond(output, figures)},
               {"total_token_throughput", PerSecond(input + output, figures)},
               {"max_output_tokens_per_s", figures.max_output_tokens_per_s},
               {"max_concurrent_requests", figures.max_concurrent_requests},
               {"rtfx", 0.0}};  // of audio
  for (const auto& [name, distribution] : Named(figures)) {
    json[fmt::format("mean_{}_ms", name)] = distribution->mean_ms;
    json[fmt::format("median_{}_ms", name)] = distribution->median_ms;
    json[fmt::format("std_{}_ms", name)] = distribution->std_ms;
    for (size_t i = 0; i < figures.percentiles.size(); ++i) {
      json[fmt::format("p{}_{}_ms", PercentileName(figures.percentiles[i]), name)] =
          distribution->percentiles_ms[i];
    }
  }
  if (!detailed) return json;
  for (const char* list : {"input_lens", "output_lens", "ttfts", "itls", "latencies", "start_times",
                           "queue_times", "generated_texts", "errors"}) {
    json[list] = Json::array();
  }
  for (const RequestTiming& timing : result.requests) {
    json["input_lens"].push_back(timing.input_tokens);
    json["output_lens"].push_back(timing.output_tokens);
    json["ttfts"].push_back(timing.first_token_s);
    json["itls"].push_back(timing.gaps_s);
    json["latencies"].push_back(timing.latency_s);
    json["start_times"].push_back(timing.start_s);
    json["queue_times"].push_back(timing.queue_s);
    json["generated_texts"].push_back(timing.text);
    json["errors"].push_back(timing.error);
  }
  return json;
}

Json DraftFiguresJson(const DraftFigures& figures) {
  Json rates = Json::array();
  for (const double accepted : figures.accepted_per_pos) {
    rates.push_back(figures.drafts > 0 ? accepted / figures.drafts : 0.0);
  }
  const double drafts = std::max(figures.drafts, 1.0);
  return {{"spec_decode_acceptance_rate",
           100.0 * figures.accepted_tokens / std::max(figures.draft_tokens, 1.0)},
          {"spec_decode_acceptance_length", 1.0 + figures.accepted_tokens / drafts},
          {"spec_decode_num_drafts", static_cast<int64_t>(figures.drafts)},
          {"spec_decode_draft_tokens", static_cast<int64_t>(figures.draft_tokens)},
          {"spec_decode_accepted_tokens", static_cast<int64_t>(figures.accepted_tokens)},
          {"spec_decode_per_position_acceptance_rates", rates}};
}

std::string FormatFigures(const LoadFigures& figures, const std::optional<DraftFigures>& drafts) {
  constexpr std::array<const char*, 4> kTitles = {"Time to First Token",
                                                  "Time per Output Token (excl. 1st token)",
                                                  "Inter-token Latency", "End-to-end Latency"};
  constexpr std::array<const char*, 4> kShort = {"TTFT", "TPOT", "ITL", "E2EL"};
  std::string text = fmt::format("{:=^50}\n", " Serving Benchmark Result ");
  const auto whole = [&text](const char* name, int64_t value) {
    text += fmt::format("{:<40} {:<10}\n", name, value);
  };
  const auto number = [&text](const std::string& name, double value) {
    text += fmt::format("{:<40} {:<10.2f}\n", name, value);
  };
  const Json json = FiguresJson(figures, {}, false);
  whole("Successful requests:", figures.completed);
  whole("Failed requests:", figures.failed);
  number("Benchmark duration (s):", figures.duration_s);
  whole("Total input tokens:", figures.input_tokens);
  whole("Total generated tokens:", figures.output_tokens);
  number("Request throughput (req/s):", json["request_throughput"]);
  number("Output token throughput (tok/s):", json["output_throughput"]);
  number("Peak output token throughput (tok/s):", figures.max_output_tokens_per_s);
  whole("Peak concurrent requests:", figures.max_concurrent_requests);
  number("Total token throughput (tok/s):", json["total_token_throughput"]);
  const auto named = Named(figures);
  for (size_t i = 0; i < named.size(); ++i) {
    const Distribution& distribution = *named[i].second;
    text += fmt::format("{:-^50}\n", kTitles[i]);
    number(fmt::format("Mean {} (ms):", kShort[i]), distribution.mean_ms);
    number(fmt::format("Median {} (ms):", kShort[i]), distribution.median_ms);
    for (size_t p = 0; p < figures.percentiles.size(); ++p) {
      number(fmt::format("P{} {} (ms):", PercentileName(figures.percentiles[p]), kShort[i]),
             distribution.percentiles_ms[p]);
    }
  }
  if (drafts) {
    const Json speculative = DraftFiguresJson(*drafts);
    text += fmt::format("{:-^50}\n", "Speculative Decoding");
    number("Acceptance rate (%):", speculative["spec_decode_acceptance_rate"]);
    number("Acceptance length:", speculative["spec_decode_acceptance_length"]);
    whole("Drafts:", speculative["spec_decode_num_drafts"]);
    whole("Draft tokens:", speculative["spec_decode_draft_tokens"]);
    whole("Accepted tokens:", speculative["spec_decode_accepted_tokens"]);
  }
  return text + fmt::format("{:=^50}\n", "");
}

}  // namespace talon
