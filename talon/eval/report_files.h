// The evaluation as files: JSON (complete, for tools), CSV (one line per drafter and category) and
// the section of a drafter's model card.
#pragma once

#include <filesystem>
#include <string>

#include "talon/base/json.h"
#include "talon/eval/eval_report.h"

namespace talon {

// `with_rounds` adds every round of every prompt: drafts and accepted counts.
Json ReportJson(const EvalReport& report, const Summaries& summaries, bool with_rounds);

std::string ReportCsv(const EvalReport& report, const Summaries& summaries);

// Markdown for the card of the checkpoint at `path`: all its runs, each compared with the first
// drafter.
std::string CardSection(const EvalReport& report, const Summaries& summaries,
                        const std::string& path);

// Whether DIRECTORY/README.md has a section for it.
bool HasCardSection(const std::filesystem::path& directory);

// Puts the section into DIRECTORY/README.md between its markers. Throws kNotFound without a
// README.md and kDataLoss without markers.
void WriteCardSection(const std::filesystem::path& directory, const std::string& section);

}  // namespace talon
