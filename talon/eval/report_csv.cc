#include "talon/eval/report_files.h"

#include <fmt/format.h>

#include <algorithm>

namespace talon {
namespace {

// RFC 4180: quoted when needed.
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string CsvSpeed(const DecodeSpeed& speed) {
  return speed.tokens > 0 ? fmt::format("{:.3f}", speed.TokensPerSecond()) : "";
}

}  // namespace

std::string ReportCsv(const EvalReport& report, const Summaries& summaries) {
  int64_t max_k = 0;
  for (const DrafterRun& run : report.runs) max_k = std::max(max_k, run.k);
  std::string text =
      "drafter,path,numerics,k,category,prompts,drafts,draft_tokens,accepted,acceptance_length,"
      "length_low,length_high,mean_of_request_means,every_position_length,difference,"
      "difference_low,difference_high,smallest_detectable,tokens_per_second,"
      "tokens_per_second_without_drafts";
  for (int64_t i = 1; i <= max_k; ++i) text += fmt::format(",position_{}", i);
  text += "\n";
  for (size_t i = 0; i < report.runs.size(); ++i) {
    const DrafterRun& run = report.runs[i];
    for (const CategorySummary& row : summaries[i]) {
      text += fmt::format(
          "{},{},{},{},{},{},{},{},{},{:.6f},{:.6f},{:.6f},{:.6f},{:.6f}", CsvField(run.label),
          CsvField(run.path), CsvField(run.numerics), run.k, CsvField(row.category), row.prompts,
          row.rounds.drafts, row.rounds.draft_tokens, row.rounds.accepted, row.rounds.Length(),
          row.length.low, row.length.high, row.request_mean.length, row.every_position.Length());
      text += row.difference
                  ? fmt::format(",{:.6f},{:.6f},{:.6f},{:.6f}", row.difference->estimate,
                                row.difference->low, row.difference->high,
                                SmallestDetectableDifference(row.difference->standard_error))
                  : std::string(",,,,");
      text += fmt::format(",{},{}", CsvSpeed(row.speed), CsvSpeed(row.plain_speed));
      for (int64_t p = 0; p < max_k; ++p) {
        text += p < run.k ? fmt::format(",{:.6f}", row.rounds.PositionRate(static_cast<size_t>(p)))
                          : std::string(",");
      }
      text += "\n";
    }
  }
  return text;
}

}  // namespace talon
