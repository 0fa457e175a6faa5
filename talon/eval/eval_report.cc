#include "talon/eval/eval_report.h"

#include <algorithm>

namespace talon {
namespace {

std::vector<PromptRounds> OfCategory(const std::vector<PromptRounds>& prompts,
                                     const std::string& category) {
  std::vector<PromptRounds> chosen;
  std::copy_if(prompts.begin(), prompts.end(), std::back_inserter(chosen),
               [&](const PromptRounds& prompt) { return prompt.category == category; });
  return chosen;
}

DecodeSpeed SpeedOf(const DecodeSpeeds& speeds, const std::string& category) {
  const auto found = speeds.find(category);
  return found == speeds.end() ? DecodeSpeed() : found->second;
}

DecodeSpeed TotalSpeed(const DecodeSpeeds& speeds) {
  DecodeSpeed total;
  for (const auto& [category, speed] : speeds) {
    total.tokens += speed.tokens;
    total.seconds += speed.seconds;
  }
  return total;
}

CategorySummary SummarizePrompts(const std::vector<PromptRounds>& rounds,
                                 const std::vector<PromptRounds>& every_position,
                                 const std::vector<PromptRounds>* base,
                                 const BootstrapOptions& options) {
  CategorySummary summary;
  summary.prompts = std::ssize(rounds);
  summary.rounds = CountRounds(rounds);
  summary.length = LengthInterval(rounds, options);
  summary.request_mean = MeanOfRequestMeans(rounds);
  summary.every_position = CountRounds(every_position);
  if (base != nullptr) summary.difference = DifferenceInterval(*base, rounds, options);
  return summary;
}

}  // namespace

const DrafterRun& BaseRun(const EvalReport& report, const DrafterRun& run) {
  return *std::find_if(report.runs.begin(), report.runs.end(),
                       [&](const DrafterRun& other) { return other.k == run.k; });
}

std::vector<CategorySummary> Summarize(const EvalReport& report, const DrafterRun& run,
                                       const BootstrapOptions& options) {
  const DrafterRun& base = BaseRun(report, run);
  const bool compared = &base != &run;
  std::vector<std::string> categories;
  for (const PromptRounds& prompt : run.rounds) {
    if (std::find(categories.begin(), categories.end(), prompt.category) == categories.end()) {
      categories.push_back(prompt.category);
    }
  }
  std::vector<CategorySummary> summaries;
  for (const std::string& category : categories) {
    const auto base_rounds = OfCategory(base.rounds, category);
    CategorySummary summary =
        SummarizePrompts(OfCategory(run.rounds, category), OfCategory(run.every_position, category),
                         compared ? &base_rounds : nullptr, options);
    summary.category = category;
    summary.speed = SpeedOf(run.speeds, category);
    summary.plain_speed = SpeedOf(report.plain_speeds, category);
    summaries.push_back(std::move(summary));
  }
  if (categories.size() == 1) return summaries;
  CategorySummary total =
      SummarizePrompts(run.rounds, run.every_position, compared ? &base.rounds : nullptr, options);
  total.category = "all";
  total.speed = TotalSpeed(run.speeds);
  total.plain_speed = TotalSpeed(report.plain_speeds);
  summaries.push_back(std::move(total));
  return summaries;
}

Summaries SummarizeAll(const EvalReport& report, const BootstrapOptions& options) {
  Summaries summaries;
  for (const DrafterRun& run : report.runs) summaries.push_back(Summarize(report, run, options));
  return summaries;
}

}  // namespace talon
