#include "talon/eval/report_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace talon {
namespace {

size_t CategoryWidth(const Summaries& summaries) {
  size_t width = 8;
  for (const CategorySummary& row : summaries.at(0)) width = std::max(width, row.category.size());
  return width;
}

std::string SpeedText(const DecodeSpeed& speed) {
  return speed.tokens > 0 ? fmt::format("{:.1f}", speed.TokensPerSecond()) : "-";
}

std::string IntervalText(const Interval& interval, bool signs) {
  return signs ? fmt::format("[{:+.3f}, {:+.3f}]", interval.low, interval.high)
               : fmt::format("[{:.3f}, {:.3f}]", interval.low, interval.high);
}

std::string Header(const EvalReport& report) {
  const DrafterRun& run = report.runs.front();
  std::string text = fmt::format(
      "verifier  {} ({}), {}\n"
      "data      {}: {} prompts, {} turns, greedy, up to {} new tokens ({} in all)\n"
      "backend   {}\n",
      report.verifier, report.verifier_numerics, report.dtype, fmt::join(report.data, ", "),
      run.rounds.size(), report.turns, report.max_tokens, report.answer_tokens, report.backend);
  for (const SkippedPrompt& prompt : report.skipped) {
    text += fmt::format("skipped   {} ({}): {} prompt tokens do not fit the context\n", prompt.id,
                        prompt.category, prompt.prompt_tokens);
  }
  if (report.live_prompts > 0) {
    text += fmt::format(
        "live      {} prompts decoded through the engine, {} at a time: text equals the run "
        "without "
        "drafts, rounds equal the replay\n",
        report.live_prompts, report.live_batch);
  }
  return text;
}

std::string RunTable(const DrafterRun& run, const std::vector<CategorySummary>& rows,
                     size_t width) {
  std::string text = fmt::format("\n{}: {}, k = {}\n", run.label, run.numerics, run.k);
  text += fmt::format("{:<{}}  {:>7}  {:>6}  {:<14}  {:>8}  ", "category", width, "prompts",
                      "length", "95 % interval", "req.mean");
  for (int64_t i = 1; i <= run.k; ++i) text += fmt::format("{:>5} ", fmt::format("@{}", i));
  text += fmt::format(" {:>5}  {:>7}  {:>7}\n", "every", "tok/s", "without");
  for (const CategorySummary& row : rows) {
    text +=
        fmt::format("{:<{}}  {:>7}  {:>6.3f}  {:<14}  {:>8.3f}  ", row.category, width, row.prompts,
                    row.length.estimate, IntervalText(row.length, false), row.request_mean.length);
    for (int64_t i = 0; i < run.k; ++i) {
      text += fmt::format("{:.3f} ", row.rounds.PositionRate(static_cast<size_t>(i)));
    }
    text += fmt::format(" {:.3f}  {:>7}  {:>7}\n", row.every_position.Length(),
                        SpeedText(row.speed), SpeedText(row.plain_speed));
  }
  if (run.live_tokens_per_second) {
    text += fmt::format("live: {:.1f} tokens/s, prompts included\n", *run.live_tokens_per_second);
  }
  return text;
}

std::string DifferenceTable(const DrafterRun& base, const DrafterRun& run,
                            const std::vector<CategorySummary>& rows, size_t width) {
  std::string text =
      fmt::format("\n{} minus {}, k = {}: difference of lengths on the same prompts\n", run.label,
                  base.label, run.k);
  text += fmt::format("{:<{}}  {:>10}  {:<16}  {:>10}\n", "category", width, "difference",
                      "95 % interval", "detectable");
  for (const CategorySummary& row : rows) {
    const Interval& interval = *row.difference;
    const bool clear = interval.low > 0 || interval.high < 0;
    text += fmt::format("{:<{}}  {:>+10.3f}  {:<16}  {:>10.3f}{}\n", row.category, width,
                        interval.estimate, IntervalText(interval, true),
                        SmallestDetectableDifference(interval.standard_error), clear ? "  *" : "");
  }
  return text;
}

constexpr std::string_view kLegend = R"(
length        1 + accepted / drafts over all rounds; a round with drafts is one draft, as vLLM counts
req.mean      mean of each request's own 1 + accepted / drafts
@i            share of rounds that accepted draft i
every         length with each answer position as a start: less noise, and mostly higher, since rounds
              begin at hard places
tok/s         tokens decoded per second with drafts, one request at a time, on a few prompts of each
              category; "without": without drafts
95 % interval bootstrap over prompts (BCa), paired for differences; *: 0 lies outside
detectable    difference that these prompts would show with 80 % power at the 5 % level (2.8 s.e.)
)";

}  // namespace

std::string ReportTables(const EvalReport& report, const Summaries& summaries) {
  const size_t width = CategoryWidth(summaries);
  std::string text = Header(report);
  for (size_t i = 0; i < report.runs.size(); ++i) {
    text += RunTable(report.runs[i], summaries[i], width);
  }
  for (size_t i = 0; i < report.runs.size(); ++i) {
    const DrafterRun& base = BaseRun(report, report.runs[i]);
    if (&base == &report.runs[i]) continue;
    text += DifferenceTable(base, report.runs[i], summaries[i], width);
  }
  return text + std::string(kLegend);
}

}  // namespace talon
