// `talon bench`: measurements, and what they need.
#include <fmt/format.h>

#include <memory>

#include "apps/talon/bench_serve.h"
#include "apps/talon/bench_shape.h"
#include "apps/talon/commands.h"
#include "talon/quantize/synthetic_drafter.h"

namespace talon {
namespace {

constexpr char kExamples[] = R"(
Examples:
  talon bench --shape gemma-4-31b --device cuda
  talon bench serve --port 8000 --num-prompts 64 --max-concurrency 8
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
  CLI::App* bench =
      app.add_subcommand("bench", "Time a random model in real shapes, or a running server");
  bench->require_subcommand(0, 1);
  bench->footer(kExamples);
  const auto timing = std::make_shared<BenchShapeOptions>();
  bench->add_option("--shape", timing->shape, "gemma-4-31b or tiny");
  bench->add_option("--device", timing->device, "auto, cpu or cuda")->capture_default_str();
  bench->add_option("--threads", timing->threads, "CPU threads; 0: one per core");
  bench
      ->add_option("--only", timing->only,
                   "Sections: linears attention decode draft rounds prefill")
      ->delimiter(',');
  bench->add_option("--rows", timing->rows, "Rows of single linears")->delimiter(',');
  bench->add_option("--contexts", timing->contexts, "Tokens that attention sees")->delimiter(',');
  bench->add_option("--batch", timing->batches, "Sequences of steps and rounds")->delimiter(',');
  bench->add_option("--context", timing->context, "Tokens before a step")->capture_default_str();
  bench->add_option("--rounds", timing->rounds, "Rounds per line")->capture_default_str();
  bench->add_option("--prefill-tokens", timing->prefill_tokens, "Prompt lengths")->delimiter(',');
  bench->add_option("--synthetic-acceptance", timing->acceptance,
                    "Chances that at least 1, 2, ... drafts are accepted; once per table");
  bench->callback([timing, bench, &run] {
    if (!bench->get_subcommands().empty()) return;
    if (timing->shape.empty()) throw CLI::RequiredError("--shape");
    run = [timing] { return RunBenchShape(*timing); };
  });
  AddBenchServe(*bench, run);
  CLI::App* make = bench->add_subcommand("make-checkpoint", "Write a random BF16 drafter");
  make->footer(kExamples);
  const auto options = std::make_shared<MakeCheckpointOptions>();
  make->add_option("output", options->output, "Folder to create")->required();
  make->add_option("--shape", options->shape, "31b (4.47 GB) or tiny")->capture_default_str();
  make->add_option("--seed", options->seed, "Fixes every byte")->capture_default_str();
  make->callback([options, &run] { run = [options] { return MakeCheckpoint(*options); }; });
}

}  // namespace talon
