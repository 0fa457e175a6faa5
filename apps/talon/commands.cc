#include "apps/talon/commands.h"

namespace talon {

void AddCommands(CLI::App& app, RunCommand& run) {
  AddQuantize(app, run);
  AddCheck(app, run);
  AddInspect(app, run);
  AddTrace(app, run);
  AddEval(app, run);
  AddGenerate(app, run);
  AddServe(app, run);
  AddVerifyLossless(app, run);
  AddBench(app, run);
  AddDemo(app, run);
}

}  // namespace talon
