// The `talon` program: parses the command line, runs one command, turns errors into exit codes.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>

#include "apps/talon/command_line.h"
#include "apps/talon/commands.h"
#include "apps/talon/interrupt.h"
#include "apps/talon/unknown_flag.h"
#include "talon/base/error.h"
#include "talon/base/progress.h"

namespace talon {
namespace {

int ReportError() {
  try {
    throw;
  } catch (const Error& error) {
    fmt::print(stderr, "talon: {}\n", error.what());
    return ExitCode(error.code());
  } catch (const std::filesystem::filesystem_error& error) {
    fmt::print(stderr, "talon: {}\n", error.what());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "talon: out of memory\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "talon: internal error: {}\n", error.what());
  }
  return 1;
}

int Main(int argc, char** argv) {
  CLI::App app("EAGLE-3 drafters in NVFP4 for Gemma 4: quantize, prove, serve.", "talon");
  app.require_subcommand(0, 1);
  app.fallthrough();
  app.set_version_flag("--version", fmt::format("talon {}", kVersion));
  app.add_flag_callback(
      "--quiet", [] { Progress::SetEnabled(false); }, "No progress on stderr");
  std::function<int()> run;
  AddCommands(app, run);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ExtrasError& error) {
    const std::string unknown_flag = DescribeUnknownFlag(app);
    if (unknown_flag.empty()) return app.exit(error) == 0 ? 0 : 2;
    fmt::print(stderr, "talon: {}\n", unknown_flag);
    return 2;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (!run) {
    fmt::print(stderr, "{}", app.help());
    return 2;
  }
  try {
    return run();
  } catch (...) {
    return ReportError();
  }
}

}  // namespace
}  // namespace talon

int main(int argc, char** argv) {
  talon::HandleInterrupts();
  talon::RememberCommandLine({argv, argv + argc});
  return talon::Main(argc, argv);
}
