// The `talon` program: parses the command line, runs one command, turns errors into exit codes.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "apps/talon/commands.h"
#include "apps/talon/interrupt.h"
#include "talon/base/error.h"

int main(int argc, char** argv) {
  talon::HandleInterrupts();
  CLI::App app("EAGLE-3 drafters in NVFP4 for Gemma 4: quantize, prove, serve.", "talon");
  app.require_subcommand(1);
  app.set_version_flag("--version", talon::kVersion);
  std::function<int()> run;
  talon::AddCommands(app, run);
  try {
    app.parse(argc, argv);
    return run();
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const talon::Error& error) {
    fmt::print(stderr, "talon: {}\n", error.what());
    return talon::ExitCode(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "talon: internal error: {}\n", error.what());
    return 1;
  }
}
