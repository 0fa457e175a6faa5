#include "apps/talon/commands.h"

namespace talon {

void AddCommands(CLI::App& app, RunCommand& run) { AddGenerate(app, run); }

}  // namespace talon
