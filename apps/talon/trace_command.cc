// `talon trace`: records the verifier's greedy answers to a data set and the drafter's inputs along
// them, for `talon eval --trace` to replay drafters on.
#include <fmt/format.h>

#include "apps/talon/commands.h"
#include "apps/talon/eval_setup.h"

namespace talon {
namespace {

int RunTrace(const EvalFlags& flags) {
  EvalSetup setup = PrepareEval(flags);
  fmt::print(stderr, "{}\nverifier: {}\n", setup.session.backend->Description(),
             setup.session.verifier.model->format_summary());
  const Recording recording = RecordAll(flags, setup);
  for (const SkippedPrompt& prompt : setup.data->skipped()) {
    fmt::print("skipped {} ({}): {} prompt tokens do not fit the context\n", prompt.id,
               prompt.category, prompt.prompt_tokens);
  }
  fmt::print("{}: traces of {} prompts\n", setup.store->directory().string(),
             recording.keys.size());
  return 0;
}

}  // namespace

void AddTrace(CLI::App& app, RunCommand& run) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App* command =
      app.add_subcommand("trace", "Record greedy answers and drafter inputs of a data set");
  command->footer(
      "Example:\n"
      "  talon trace --verifier google/gemma-4-31B-it --data acceptance/ --output traces");
  command->add_option("--output,-o", flags->trace, "trace folder; an interrupted one is continued")
      ->required();
  command->add_option("--drafter", flags->drafters,
                      "drafters whose aux layers to record; default: vLLM's rule (2, L/2, L-3)");
  AddEvalFlags(*command, *flags);
  command->callback([flags, &run] { run = [flags] { return RunTrace(*flags); }; });
}

}  // namespace talon
