#include "apps/talon/commands.h"

namespace talon {

void AddCommands(CLI::App& app, RunCommand& run) {
  (void)app;
  (void)run;
}

}  // namespace talon
