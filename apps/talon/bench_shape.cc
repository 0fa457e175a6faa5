#include "apps/talon/bench_shape.h"

#include <algorithm>
#include <sstream>

#include "talon/base/error.h"
#include "talon/bench/model_bench.h"
#include "talon/bench/op_bench.h"

namespace talon {
namespace {

const std::vector<std::string> kSections = {"linears", "attention", "decode",
                                            "draft",   "rounds",    "prefill"};

// "0.72,0.52,0.35"; each between 0 and 1 and none above the one before.
std::vector<double> ParseAcceptance(const std::string& text) {
  std::vector<double> values;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    size_t used = 0;
    double value = -1.0;
    try {
      value = std::stod(part, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    const double before = values.empty() ? 1.0 : values.back();
    if (used != part.size() || !(value >= 0.0 && value <= before)) {
      Throw(ErrorCode::kInvalidArgument,
            "--synthetic-acceptance {}: '{}' is no chance between 0 and {}; give the chance that "
            "at least 1, 2, ... drafts are accepted, such as 0.72,0.52,0.35",
            text, part, before);
    }
    values.push_back(value);
  }
  return values;
}

void CheckPositive(const char* flag, const std::vector<int64_t>& values) {
  for (const int64_t value : values) {
    if (value < 1) Throw(ErrorCode::kInvalidArgument, "{} {}: give at least 1", flag, value);
  }
}

bool Wanted(const BenchShapeOptions& options, const std::string& section) {
  return options.only.empty() ||
         std::find(options.only.begin(), options.only.end(), section) != options.only.end();
}

void CheckOptions(const BenchShapeOptions& options) {
  for (const std::string& section : options.only) {
    if (std::find(kSections.begin(), kSections.end(), section) == kSections.end()) {
      Throw(ErrorCode::kInvalidArgument,
            "--only {}: expected linears, attention, decode, draft, rounds or prefill", section);
    }
  }
  CheckPositive("--rows", options.rows);
  CheckPositive("--contexts", options.contexts);
  CheckPositive("--batch", options.batches);
  CheckPositive("--prefill-tokens", options.prefill_tokens);
  CheckPositive("--context", {options.context});
  CheckPositive("--rounds", {options.rounds});
}

}  // namespace

int RunBenchShape(const BenchShapeOptions& options) {
  CheckOptions(options);
  const BenchShape shape = FindBenchShape(options.shape);
  ModelBenchOptions model_options;
  model_options.context = options.context;
  model_options.batches = options.batches;
  model_options.rounds = options.rounds;
  model_options.prefill_tokens = options.prefill_tokens;
  for (const std::string& text : options.acceptance) {
    model_options.acceptance.push_back(ParseAcceptance(text));
  }
  const auto backend = MakeBackend({options.device, options.threads});
  const BenchReport report(*backend);
  if (Wanted(options, "linears")) BenchLinears(report, shape.verifier, options.rows);
  if (Wanted(options, "attention")) {
    BenchAttention(report, shape.verifier, options.contexts, {1, 4, 8});
  }
  const bool whole_models = Wanted(options, "decode") || Wanted(options, "draft") ||
                            Wanted(options, "rounds") || Wanted(options, "prefill");
  if (!whole_models) return 0;
  ModelBench bench(report, shape, model_options);
  if (Wanted(options, "decode")) bench.DecodeSteps();
  if (Wanted(options, "draft")) bench.DraftSteps();
  if (Wanted(options, "rounds")) bench.Rounds();
  if (Wanted(options, "prefill")) bench.Prefill();
  return 0;
}

}  // namespace talon
