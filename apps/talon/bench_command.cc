// `talon bench`: what measurements need.
#include <fmt/format.h>

#include <memory>

#include "apps/talon/commands.h"
#include "talon/quantize/synthetic_drafter.h"

namespace talon {
namespace {

constexpr char kExamples[] = R"(
Examples:
  talon bench make-checkpoint /tmp/drafter-31b --shape 31b
  /usr/bin/time -v talon quantize /tmp/drafter-31b --recipe w4a16 --output /tmp/drafter-31b-nvfp4)";

struct MakeCheckpointOptions {
  std::string output;
  std::string shape = "31b";
  uint64_t seed = 1;
};

int MakeCheckpoint(const MakeCheckpointOptions& options) {
  ThreadPool pool;
  WriteSyntheticDrafter(SyntheticDrafterConfig(options.shape), options.seed, options.output, pool);
  fmt::print("wrote {}\n", options.output);
  return 0;
}

}  // namespace

void AddBench(CLI::App& app, RunCommand& run) {
  CLI::App* bench = app.add_subcommand("bench", "Tools for measuring");
  bench->require_subcommand(1);
  CLI::App* make = bench->add_subcommand("make-checkpoint", "Write a random BF16 drafter");
  make->footer(kExamples);
  const auto options = std::make_shared<MakeCheckpointOptions>();
  make->add_option("output", options->output, "Folder to create")->required();
  make->add_option("--shape", options->shape, "31b (4.47 GB) or tiny")->capture_default_str();
  make->add_option("--seed", options->seed, "Fixes every byte")->capture_default_str();
  make->callback([options, &run] { run = [options] { return MakeCheckpoint(*options); }; });
}

}  // namespace talon
