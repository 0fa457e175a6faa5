#include "talon/eval/report_files.h"

#include <utility>

namespace talon {
namespace {

Json ToJson(const AcceptanceCounts& counts, int64_t k) {
  Json json;
  json["drafts"] = counts.drafts;
  json["draft_tokens"] = counts.draft_tokens;
  json["accepted"] = counts.accepted;
  json["acceptance_length"] = counts.Length();
  Json rates = Json::array();
  for (int64_t i = 0; i < k; ++i) rates.push_back(counts.PositionRate(static_cast<size_t>(i)));
  json["acceptance_by_position"] = std::move(rates);
  return json;
}

Json ToJson(const Interval& interval) {
  Json json;
  json["estimate"] = interval.estimate;
  json["standard_error"] = interval.standard_error;
  json["low"] = interval.low;
  json["high"] = interval.high;
  return json;
}

Json ToJson(const DecodeSpeed& speed) {
  if (speed.tokens == 0) return nullptr;
  Json json;
  json["tokens"] = speed.tokens;
  json["seconds"] = speed.seconds;
  json["tokens_per_second"] = speed.TokensPerSecond();
  return json;
}

Json ToJson(const CategorySummary& row, int64_t k) {
  Json json;
  json["category"] = row.category;
  json["prompts"] = row.prompts;
  json["rounds"] = ToJson(row.rounds, k);
  json["length_interval"] = ToJson(row.length);
  json["mean_of_request_means"] = {{"length", row.request_mean.length},
                                   {"requests", row.request_mean.requests}};
  json["every_position"] = ToJson(row.every_position, k);
  if (row.difference) {
    json["difference"] = ToJson(*row.difference);
    json["difference"]["smallest_detectable"] =
        SmallestDetectableDifference(row.difference->standard_error);
  }
  json["decode_with_drafts"] = ToJson(row.speed);
  json["decode_without_drafts"] = ToJson(row.plain_speed);
  return json;
}

Json PromptsJson(const DrafterRun& run) {
  Json prompts = Json::array();
  for (const PromptRounds& prompt : run.rounds) {
    Json json;
    json["id"] = prompt.id;
    json["category"] = prompt.category;
    Json rounds = Json::array();
    for (const Round& round : prompt.rounds) {
      rounds.push_back({{"drafts", round.drafts}, {"accepted", round.accepted}});
    }
    json["rounds"] = std::move(rounds);
    prompts.push_back(std::move(json));
  }
  return prompts;
}

Json RunJson(const EvalReport& report, const DrafterRun& run,
             const std::vector<CategorySummary>& rows, bool with_rounds) {
  Json json;
  json["label"] = run.label;
  json["drafter"] = run.path;
  json["identity"] = run.identity;
  json["numerics"] = run.numerics;
  json["num_speculative_tokens"] = run.k;
  json["replay_seconds"] = run.replay_seconds;
  if (run.live_tokens_per_second) json["live_tokens_per_second"] = *run.live_tokens_per_second;
  const DrafterRun& base = BaseRun(report, run);
  if (&base != &run) json["compared_with"] = base.label;
  json["categories"] = Json::array();
  for (const CategorySummary& row : rows) json["categories"].push_back(ToJson(row, run.k));
  if (with_rounds) json["prompts"] = PromptsJson(run);
  return json;
}

}  // namespace

Json ReportJson(const EvalReport& report, const Summaries& summaries, bool with_rounds) {
  Json json;
  json["talon"] = report.version;
  json["command"] = report.command;
  json["verifier"] = {{"path", report.verifier},
                      {"identity", report.verifier_identity},
                      {"numerics", report.verifier_numerics}};
  json["dtype"] = report.dtype;
  json["backend"] = report.backend;
  json["chat_format"] = report.chat_format;
  json["data"] = {{"paths", report.data},
                  {"sha256", report.data_sha256},
                  {"turns", report.turns},
                  {"prompts", report.runs.front().rounds.size()}};
  json["max_tokens"] = report.max_tokens;
  json["answer_tokens"] = report.answer_tokens;
  json["skipped"] = Json::array();
  for (const SkippedPrompt& prompt : report.skipped) {
    json["skipped"].push_back({{"id", prompt.id},
                               {"category", prompt.category},
                               {"prompt_tokens", prompt.prompt_tokens}});
  }
  json["live"] = nullptr;
  if (report.live_prompts > 0) {
    json["live"] = {
        {"prompts", report.live_prompts}, {"batch", report.live_batch}, {"equal_to_replay", true}};
  }
  json["runs"] = Json::array();
  for (size_t i = 0; i < report.runs.size(); ++i) {
    json["runs"].push_back(RunJson(report, report.runs[i], summaries[i], with_rounds));
  }
  return json;
}

}  // namespace talon
