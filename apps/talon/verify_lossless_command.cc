// `talon verify-lossless`: does any setting that must not change an answer change one, on the
// user's own models and with the user's own server settings? Exit code 1 when one does.
#include <algorithm>
#include <set>
#include <thread>

#include "apps/talon/commands.h"
#include "apps/talon/lossless_requests.h"
#include "apps/talon/serve_models.h"
#include "talon/base/atomic_output.h"
#include "talon/base/progress.h"
#include "talon/engine/lossless_settings.h"

namespace talon {
namespace {

struct VerifyFlags {
  ServeFlags serve;
  LosslessRequestOptions requests;
  int64_t requests_between = 1000;
  std::string json;
};

struct Row {
  std::string name;
  LosslessOutcome outcome;
};

std::vector<GenerationResult> AskReference(const ServedPair& pair,
                                           const std::vector<GenerationRequest>& requests) {
  Progress progress("without drafts, one at a time", std::ssize(requests), "requests");
  Engine engine(*pair.session.verifier.model, nullptr, LosslessReference(pair.options));
  return engine.Generate(requests, [&](const StepOutput& output) {
    if (output.finish_reason != FinishReason::kNone) progress.Advance();
  });
}

// The answers of one setting, from `pair` or, with other threads, from the same models opened anew.
LosslessOutcome RunSetting(const VerifyFlags& flags, const ServedPair& pair,
                           const LosslessCheck& check, const LosslessSetting& setting,
                           int64_t expected_tokens) {
  Progress progress(setting.name, setting.passes.count * expected_tokens, "tokens");
  const auto on_tokens = [&progress](int64_t count) { progress.Advance(count); };
  const auto run = [&](const ServedPair& models) {
    Engine engine(*models.session.verifier.model, models.drafter.model.get(), setting.options);
    return check.Run(engine, setting.passes, on_tokens);
  };
  if (setting.threads == 0) return run(pair);
  ServeFlags serve = flags.serve;
  serve.session.threads = setting.threads;
  StartupLog log;
  return run(LoadServedPair(serve, log));
}

std::string Exercised(const LosslessOutcome& outcome) {
  std::string text;
  const auto add = [&text](int64_t count, const char* what) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, what);
  };
  add(outcome.accepted_drafts, "drafts accepted");
  add(outcome.cached_tokens, "tokens cached");
  add(outcome.preemptions, "preemptions");
  return text;
}

void PrintRow(const std::string& name, const LosslessOutcome& outcome) {
  fmt::print("{:<44} {:>8} {:>9} {:>11}  {}\n", name, outcome.requests, outcome.tokens,
             outcome.divergences.size(), Exercised(outcome));
  std::fflush(stdout);
}

void PrintDivergences(const LosslessOutcome& outcome, const Tokenizer& tokenizer) {
  constexpr size_t kShown = 3;
  const auto text = [&tokenizer](int32_t id) {
    return id < 0 ? std::string("the end") : fmt::format("{} '{}'", id, tokenizer.IdToToken(id));
  };
  for (size_t i = 0; i < std::min(kShown, outcome.divergences.size()); ++i) {
    const Divergence& one = outcome.divergences[i];
    fmt::print("  request {}, token {}: expected {}, found {}\n", one.request, one.position,
               text(one.expected), text(one.actual));
  }
}

Json ToJson(const Row& row) {
  Json divergences = Json::array();
  for (const Divergence& one : row.outcome.divergences) {
    divergences.push_back({{"request", one.request},
                           {"pass", one.pass},
                           {"position", one.position},
                           {"expected", one.expected},
                           {"actual", one.actual}});
  }
  return {{"setting", row.name},
          {"requests", row.outcome.requests},
          {"tokens", row.outcome.tokens},
          {"accepted_drafts", row.outcome.accepted_drafts},
          {"cached_tokens", row.outcome.cached_tokens},
          {"preemptions", row.outcome.preemptions},
          {"divergences", divergences}};
}

LosslessOutcome Sum(const std::vector<Row>& rows) {
  LosslessOutcome sum;
  for (const auto& [name, outcome] : rows) {
    sum.requests += outcome.requests;
    sum.tokens += outcome.tokens;
    sum.accepted_drafts += outcome.accepted_drafts;
    sum.cached_tokens += outcome.cached_tokens;
    sum.preemptions += outcome.preemptions;
    sum.divergences.insert(sum.divergences.end(), outcome.divergences.begin(),
                           outcome.divergences.end());
  }
  return sum;
}

// A GPU's results do not depend on the host's threads.
std::vector<int> ThreadCounts(const ServedPair& pair) {
  if (!pair.session.backend->Description().starts_with("cpu")) return {};
  const int cores = static_cast<int>(std::max(2u, std::thread::hardware_concurrency()));
  const std::set<int> counts = {1, 2, 3, cores};
  return {counts.begin(), counts.end()};
}

std::vector<Row> RunAll(const VerifyFlags& flags, const ServedPair& pair) {
  const GemmaConfig& config = pair.session.verifier.model->config();
  const EngineOptions served = ResolveEngineOptions(config, pair.drafter.model.get(), pair.options);
  LosslessRequestOptions wanted = flags.requests;
  wanted.max_model_len = served.max_model_len;
  const std::vector<GenerationRequest> requests = MakeLosslessRequests(pair.session, wanted);
  std::vector<GenerationResult> expected = AskReference(pair, requests);
  int64_t tokens = 0;
  for (const GenerationResult& result : expected) tokens += std::ssize(result.tokens);
  const LosslessCheck check(requests, std::move(expected));
  fmt::print("{:<44} {:>8} {:>9} {:>11}\n", "setting", "requests", "tokens", "divergences");
  std::vector<Row> rows;
  const std::vector<int> threads = ThreadCounts(pair);
  const std::vector<LosslessSetting> settings = LosslessSettings(
      config, served, pair.drafter.model != nullptr, {requests, threads, flags.requests_between});
  for (const LosslessSetting& setting : settings) {
    rows.push_back({setting.name, RunSetting(flags, pair, check, setting, tokens)});
    PrintRow(setting.name, rows.back().outcome);
    PrintDivergences(rows.back().outcome, *pair.session.tokenizer);
  }
  return rows;
}

int VerifyLossless(const VerifyFlags& flags) {
  CheckServeFlags(flags.serve);
  StartupLog log;
  const ServedPair pair = LoadServedPair(flags.serve, log);
  const std::vector<Row> rows = RunAll(flags, pair);
  const LosslessOutcome sum = Sum(rows);
  PrintRow("in all", sum);
  if (!flags.json.empty()) {
    Json settings = Json::array();
    for (const Row& row : rows) settings.push_back(ToJson(row));
    const Json report = {{"verifier", pair.session.verifier.directory.string()},
                         {"backend", pair.session.backend->Description()},
                         {"requests", sum.requests},
                         {"tokens", sum.tokens},
                         {"divergences", sum.divergences.size()},
                         {"settings", settings}};
    WriteFileAtomically(flags.json, report.dump(1) + "\n");
  }
  return sum.divergences.empty() ? 0 : 1;
}

}  // namespace

void AddVerifyLossless(CLI::App& app, RunCommand& run) {
  auto flags = std::make_shared<VerifyFlags>();
  CLI::App* command = app.add_subcommand(
      "verify-lossless", "Compare answers token by token under every setting that must not matter");
  command->footer(
      "The flags of `talon serve` are understood as there; those about the network do nothing.\n"
      "Exit code 1: an answer differed from the verifier's own, asked alone and without drafts.\n"
      "Example:\n"
      "  talon verify-lossless models/demo/verifier --speculative-config "
      "'{\"model\": \"models/demo/drafter\", \"num_speculative_tokens\": 3}' --json report.json");
  command->add_option("--requests", flags->requests.count, "requests of each setting")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--max-tokens", flags->requests.max_tokens, "tokens of each answer")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--data", flags->requests.data,
                      "JSONL files or folders with the prompts; default: built-in questions");
  command
      ->add_option("--requests-between", flags->requests_between,
                   "short requests before the same ones are asked again")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--json", flags->json, "write everything to this file");
  AddServeFlags(*command, flags->serve);
  command->callback([flags, &run] { run = [flags] { return VerifyLossless(*flags); }; });
}

}  // namespace talon
