// `talon check`: what is wrong with a checkpoint.
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "apps/talon/commands.h"
#include "talon/checkpoint/hub.h"
#include "talon/quantize/check.h"

namespace talon {
namespace {

constexpr char kDescription[] = "Report what is wrong with a drafter or verifier checkpoint";

constexpr char kExamples[] = R"(
Errors are what loaders refuse or, worse, read wrongly without saying so: missing, extra or misshaped tensors,
NaN and zero scales, scales that q/k/v or gate/up do not share, dtypes that are converted silently, faults in
d2t, an ignore list that disagrees with the tensors. The exit code is 1 when there is one.

Examples:
  talon check models/demo/drafter
  talon check ./drafter-nvfp4 --verifier google/gemma-4-31B-it
  talon check ./drafter-nvfp4 --json | jq '.findings[]')";

struct Options {
  std::string model;
  std::string verifier;
  bool json = false;
};

int Run(const Options& options) {
  ThreadPool pool;
  std::optional<ModelFiles> verifier;
  if (!options.verifier.empty()) verifier = ModelFiles::Open(ResolveModel(options.verifier));
  const CheckReport report =
      CheckCheckpoint(ResolveModel(options.model), verifier ? &*verifier : nullptr, pool);
  if (options.json) {
    fmt::print("{}\n", ReportJson(report).dump(2));
  } else {
    fmt::print("{}", FormatReport(report));
  }
  return report.ok() ? 0 : 1;
}

}  // namespace

void AddCheck(CLI::App& app, RunCommand& run) {
  CLI::App* command = app.add_subcommand("check", kDescription);
  command->footer(kExamples);
  const auto options = std::make_shared<Options>();
  command->add_option("model", options->model, "Folder, or org/name in the Hugging Face cache")
      ->required();
  command->add_option("--verifier", options->verifier,
                      "What a drafter is compared with: vocabulary, sizes, embedding");
  command->add_flag("--json", options->json, "Findings as JSON");
  command->callback([options, &run] { run = [options] { return Run(*options); }; });
}

}  // namespace talon
