// `talon inspect`: what a checkpoint is.
#include <fmt/format.h>

#include <memory>

#include "apps/talon/commands.h"
#include "talon/checkpoint/hub.h"
#include "talon/quantize/inspect.h"

namespace talon {
namespace {

constexpr char kExamples[] = R"(
Examples:
  talon inspect models/demo/drafter
  talon inspect RedHatAI/gemma-4-31B-it-speculator.eagle3 --json)";

struct Options {
  std::string model;
  bool json = false;
};

int Run(const Options& options) {
  const ModelFiles files = ModelFiles::Open(ResolveModel(options.model));
  fmt::print("{}", options.json ? InspectJson(files).dump(2) + "\n" : InspectText(files));
  return 0;
}

}  // namespace

void AddInspect(CLI::App& app, RunCommand& run) {
  CLI::App* command =
      app.add_subcommand("inspect", "Show architecture, bytes and quantization of a checkpoint");
  command->footer(kExamples);
  const auto options = std::make_shared<Options>();
  command->add_option("model", options->model, "Folder, or org/name in the Hugging Face cache")
      ->required();
  command->add_flag("--json", options->json, "As JSON, with the scales of every linear");
  command->callback([options, &run] { run = [options] { return Run(*options); }; });
}

}  // namespace talon
