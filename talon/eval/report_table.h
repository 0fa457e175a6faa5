// The evaluation as tables for a terminal.
#pragma once

#include <string>

#include "talon/eval/eval_report.h"

namespace talon {

std::string ReportTables(const EvalReport& report, const Summaries& summaries);

}  // namespace talon
