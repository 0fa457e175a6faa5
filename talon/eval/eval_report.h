// What an evaluation found, and the numbers derived from it that every output (terminal, JSON, CSV,
// model card) shows alike.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "talon/eval/acceptance.h"
#include "talon/eval/bootstrap.h"
#include "talon/eval/eval_data.h"

namespace talon {

// Tokens after the first of each answer, and the seconds they took, one request at a time.
struct DecodeSpeed {
  int64_t tokens = 0;
  double seconds = 0;
  double TokensPerSecond() const {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  }
};
// By category.
using DecodeSpeeds = std::map<std::string, DecodeSpeed>;

// One drafter under one numerics with one k.
struct DrafterRun {
  std::string label;     // unique among the runs of one k, e.g. "drafter-nvfp4 W4A4"
  std::string path;      // as given
  std::string identity;  // CheckpointIdentity
  std::string numerics;  // e.g. "NVFP4 W4A4 (8 linears), BF16 (1 linear)"
  int64_t k = 0;
  std::vector<PromptRounds> rounds;          // the same prompts in the same order in every run
  std::vector<PromptRounds> every_position;  // each possible start as a round
  double replay_seconds = 0;
  DecodeSpeeds speeds;                           // empty: not timed
  std::optional<double> live_tokens_per_second;  // --live: answer tokens / wall time, batched
};

struct EvalReport {
  std::string verifier;
  std::string verifier_identity;
  std::string verifier_numerics;
  std::string backend;
  std::string dtype;
  std::string chat_format;
  std::string turns;
  std::vector<std::string> data;  // paths as given
  std::string data_sha256;
  int64_t max_tokens = 0;
  int64_t answer_tokens = 0;  // of all traces
  int64_t live_prompts = 0;   // decoded through the engine: text and rounds were equal
  int64_t live_batch = 0;
  std::vector<SkippedPrompt> skipped;
  std::vector<DrafterRun> runs;
  DecodeSpeeds plain_speeds;
  std::string version;
  std::vector<std::string> command;
};

// One run's numbers for one category, or for all prompts.
struct CategorySummary {
  std::string category;  // "all" for the total
  int64_t prompts = 0;
  AcceptanceCounts rounds;
  Interval length;
  RequestMean request_mean;
  AcceptanceCounts every_position;
  std::optional<Interval> difference;  // to the first run with the same k; none for that run itself
  DecodeSpeed speed;
  DecodeSpeed plain_speed;
};

// Categories in the order of their first prompt, then "all" (left out when there is one category).
std::vector<CategorySummary> Summarize(const EvalReport& report, const DrafterRun& run,
                                       const BootstrapOptions& options);

// [runs][categories]
using Summaries = std::vector<std::vector<CategorySummary>>;
Summaries SummarizeAll(const EvalReport& report, const BootstrapOptions& options);

// The run that `run` is compared with: the first with its k.
const DrafterRun& BaseRun(const EvalReport& report, const DrafterRun& run);

}  // namespace talon
