// `talon eval`: acceptance of drafters on a data set, per category, with intervals.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "apps/talon/command_line.h"
#include "apps/talon/commands.h"
#include "apps/talon/eval_setup.h"
#include "talon/base/atomic_output.h"
#include "talon/base/error.h"
#include "talon/checkpoint/hub.h"
#include "talon/checkpoint/identity.h"
#include "talon/eval/acceptance_baseline.h"
#include "talon/eval/evaluation.h"
#include "talon/eval/report_files.h"
#include "talon/eval/report_table.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

struct Flags {
  EvalFlags eval;
  std::vector<std::string> numerics = {"auto"};
  int64_t timed_prompts = 1;
  bool live = false;
  bool write_card = false;
  bool record = false;
  bool rounds = false;
  std::string json;
  std::string csv;
};

// The folder's name, unless two drafters share it.
std::string DrafterName(const std::string& path, const std::vector<std::string>& all) {
  const auto name = [](const std::string& text) {
    const fs::path normal = fs::path(text).lexically_normal();
    return (normal.has_filename() ? normal : normal.parent_path()).filename().string();
  };
  const auto same = std::count_if(
      all.begin(), all.end(), [&](const std::string& other) { return name(other) == name(path); });
  return same > 1 ? path : name(path);
}

// The format of most linears: "NVFP4 W4A4" of "NVFP4 W4A4 (8 linears), BF16 (1 linear)".
std::string MainFormat(const std::string& summary) { return summary.substr(0, summary.find(" (")); }

std::vector<LinearNumerics> AllNumerics(const std::vector<std::string>& names) {
  std::vector<LinearNumerics> all;
  for (const std::string& name : names) {
    const LinearNumerics numerics = ParseNumerics(name);
    if (std::find(all.begin(), all.end(), numerics) == all.end()) all.push_back(numerics);
  }
  return all;
}

// Every drafter under every numerics; one without NVFP4 linears runs once.
std::vector<DrafterRun> EvaluateAll(const Flags& flags, const Session& session,
                                    const Evaluation& evaluation) {
  std::vector<DrafterRun> runs;
  for (const std::string& path : flags.eval.drafters) {
    std::set<std::string> done;
    for (const LinearNumerics numerics : AllNumerics(flags.numerics)) {
      const LoadedDrafter drafter = session.OpenDrafter(path, numerics);
      DrafterRun description;
      description.path = path;
      description.identity = CheckpointIdentity(*drafter.store);
      description.numerics = drafter.model->format_summary();
      description.label =
          DrafterName(path, flags.eval.drafters) + " " + MainFormat(description.numerics);
      if (!done.insert(description.numerics).second) continue;
      fmt::print(stderr, "drafter: {}, {}\n", path, description.numerics);
      std::vector<DrafterRun> of_drafter = evaluation.Evaluate(*drafter.model, description);
      std::move(of_drafter.begin(), of_drafter.end(), std::back_inserter(runs));
    }
  }
  return runs;
}

EvalReport MakeReport(const Flags& flags, const EvalSetup& setup, const Evaluation& evaluation) {
  const TraceManifest& manifest = setup.store->manifest();
  EvalReport report;
  report.verifier = flags.eval.session.verifier;
  report.verifier_identity = manifest.verifier_identity;
  report.verifier_numerics = manifest.verifier_numerics;
  report.backend = setup.session.backend->Description();
  report.dtype = flags.eval.session.dtype;
  report.chat_format = manifest.chat_format;
  report.turns = manifest.turns;
  report.data = flags.eval.data;
  report.data_sha256 = manifest.data_sha256;
  report.max_tokens = manifest.max_tokens;
  report.answer_tokens = evaluation.answer_tokens();
  report.skipped = setup.data->skipped();
  report.version = kVersion;
  report.command = CommandLine();
  return report;
}

void CheckDuplicates(const std::vector<std::string>& drafters) {
  for (size_t i = 0; i < drafters.size(); ++i) {
    if (std::find(drafters.begin(), drafters.begin() + static_cast<std::ptrdiff_t>(i),
                  drafters[i]) != drafters.begin() + static_cast<std::ptrdiff_t>(i)) {
      Throw(ErrorCode::kInvalidArgument, "--drafter {} is given twice", drafters[i]);
    }
  }
}

// The drafters whose model card has a section for the table; found before the work starts.
std::vector<std::string> CardTargets(const Flags& flags) {
  std::vector<std::string> targets;
  if (!flags.write_card) return targets;
  for (const std::string& path : flags.eval.drafters) {
    if (HasCardSection(ResolveModel(path))) targets.push_back(path);
  }
  if (targets.empty()) {
    Throw(ErrorCode::kInvalidArgument,
          "--write-card: no drafter has a README.md with a section for measured acceptance, as "
          "`talon quantize` writes it");
  }
  return targets;
}

void WriteFiles(const Flags& flags, const EvalReport& report, const Summaries& summaries,
                const std::vector<std::string>& card_targets) {
  if (!flags.json.empty()) {
    WriteFileAtomically(flags.json, ReportJson(report, summaries, flags.rounds).dump(1) + "\n");
  }
  if (!flags.csv.empty()) WriteFileAtomically(flags.csv, ReportCsv(report, summaries));
  for (const std::string& path : card_targets) {
    WriteCardSection(ResolveModel(path), CardSection(report, summaries, path));
    fmt::print(stderr, "{}/README.md: acceptance section written\n", path);
  }
}

// Each drafter's first run, for the server's acceptance guard.
void RecordBaselines(const Evaluation& evaluation, const TraceStore& store,
                     const EvalReport& report) {
  std::set<std::string> recorded;
  for (const DrafterRun& run : report.runs) {
    if (!recorded.insert(run.path).second) continue;
    const std::filesystem::path folder = ResolveModel(run.path);
    WriteBaseline(folder, MakeBaseline(store, evaluation.keys(), run));
    fmt::print(stderr, "{}: acceptance recorded for talon serve\n", BaselinePath(folder).string());
  }
}

int RunEval(const Flags& flags) {
  CheckDuplicates(flags.eval.drafters);
  AllNumerics(flags.numerics);
  const std::vector<std::string> card_targets = CardTargets(flags);
  EvalSetup setup = PrepareEval(flags.eval);
  fmt::print(stderr, "{}\nverifier: {}, {}\n", setup.session.backend->Description(),
             flags.eval.session.verifier, setup.session.verifier.model->format_summary());
  Recording recording = RecordAll(flags.eval, setup);
  const auto prompts = std::ssize(recording.keys);
  Evaluation evaluation(*setup.session.verifier.model, *setup.store, std::move(recording.keys),
                        {.num_speculative_tokens = flags.eval.num_speculative_tokens,
                         .max_positions = setup.max_positions,
                         .timed_prompts = flags.timed_prompts,
                         .live = flags.live,
                         .live_batch = flags.eval.max_num_seqs});
  EvalReport report = MakeReport(flags, setup, evaluation);
  report.plain_speeds = evaluation.TimeWithoutDrafts();
  report.runs = EvaluateAll(flags, setup.session, evaluation);
  if (flags.live) {
    report.live_prompts = prompts;
    report.live_batch = flags.eval.max_num_seqs;
  }
  const Summaries summaries = SummarizeAll(report, {});
  fmt::print("{}", ReportTables(report, summaries));
  WriteFiles(flags, report, summaries, card_targets);
  if (flags.record) RecordBaselines(evaluation, *setup.store, report);
  return 0;
}

void AddFlags(CLI::App& command, Flags& flags) {
  command.add_option("--drafter", flags.eval.drafters, "EAGLE-3 drafters; the first is the base")
      ->required();
  command.add_option("--trace", flags.eval.trace,
                     "folder of traces to use and add to; default: a temporary one");
  AddEvalFlags(command, flags.eval);
  command
      .add_option("--numerics", flags.numerics,
                  "NVFP4 linears of the drafters: auto, w4a16 or w4a4; several: w4a16,w4a4")
      ->delimiter(',')
      ->capture_default_str();
  command
      .add_option("--timed-prompts", flags.timed_prompts,
                  "prompts of each category decoded one at a time for tokens per second; 0: none")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command.add_flag("--live", flags.live,
                   "also decode every prompt through the engine; fails unless text and rounds are "
                   "those of the replay");
  command.add_option("--json", flags.json, "write everything to this file");
  command.add_flag("--json-rounds", flags.rounds, "with --json: drafts and accepted of each round");
  command.add_option("--csv", flags.csv, "write one line per drafter and category to this file");
  command.add_flag("--record", flags.record,
                   "store a few prompts and their acceptance with each drafter (first k and "
                   "numerics); talon serve then warns when it accepts far fewer drafts");
  command.add_flag("--write-card", flags.write_card,
                   "put the table into the model cards of the drafters that talon quantize wrote");
}

}  // namespace

void AddEval(CLI::App& app, RunCommand& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("eval", "Measure acceptance of drafters, with intervals");
  command->footer(
      "Example:\n"
      "  talon eval --verifier models/demo/verifier --drafter models/demo/drafter \\\n"
      "    --drafter drafter-nvfp4 --numerics w4a16,w4a4 --data acceptance/ --json table.json");
  AddFlags(*command, *flags);
  command->callback([flags, &run] { run = [flags] { return RunEval(*flags); }; });
}

}  // namespace talon
