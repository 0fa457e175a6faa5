#include "talon/eval/report_files.h"

#include <fmt/format.h>

#include "talon/base/atomic_output.h"
#include "talon/quantize/model_card.h"

namespace talon {

std::string CardSection(const EvalReport& report, const Summaries& summaries,
                        const std::string& path) {
  std::string text = fmt::format(
      "Measured with `talon eval` {}: verifier `{}` ({}, {}), {} prompts ({} turns), greedy, up to "
      "{} new tokens. Length is 1 + accepted / drafts; intervals are 95 %, by a bootstrap over "
      "prompts.\n",
      report.version, report.verifier, report.verifier_numerics, report.dtype,
      report.runs.front().rounds.size(), report.turns, report.max_tokens);
  for (size_t i = 0; i < report.runs.size(); ++i) {
    const DrafterRun& run = report.runs[i];
    if (run.path != path) continue;
    const DrafterRun& base = BaseRun(report, run);
    const bool compared = &base != &run;
    text += fmt::format("\n**{}, k = {}**\n\n| category | prompts | length | interval |",
                        run.numerics, run.k);
    if (compared) text += fmt::format(" minus `{}` ({}) | interval |", base.path, base.numerics);
    text += fmt::format("\n|---|---:|---:|---|{}\n", compared ? "---:|---|" : "");
    for (const CategorySummary& row : summaries[i]) {
      text += fmt::format("| {} | {} | {:.3f} | {:.3f} to {:.3f} |", row.category, row.prompts,
                          row.length.estimate, row.length.low, row.length.high);
      if (compared) {
        text += fmt::format(" {:+.3f} | {:+.3f} to {:+.3f} |", row.difference->estimate,
                            row.difference->low, row.difference->high);
      }
      text += "\n";
    }
  }
  return text;
}

bool HasCardSection(const std::filesystem::path& directory) {
  const std::filesystem::path card = directory / "README.md";
  return std::filesystem::exists(card) && HasMeasuredSection(ReadTextFile(card));
}

void WriteCardSection(const std::filesystem::path& directory, const std::string& section) {
  const std::filesystem::path card = directory / "README.md";
  WriteFileAtomically(card, ReplaceMeasuredSection(ReadTextFile(card), section, card.string()));
}

}  // namespace talon
