// The commands: each Add… function declares its flags and sets `run` when its command was chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace talon {

inline constexpr const char* kVersion = "0.1.0";

using RunCommand = std::function<int()>;

void AddBench(CLI::App& app, RunCommand& run);
void AddCheck(CLI::App& app, RunCommand& run);
void AddDemo(CLI::App& app, RunCommand& run);
void AddEval(CLI::App& app, RunCommand& run);
void AddGenerate(CLI::App& app, RunCommand& run);
void AddInspect(CLI::App& app, RunCommand& run);
void AddQuantize(CLI::App& app, RunCommand& run);
void AddServe(CLI::App& app, RunCommand& run);
void AddTrace(CLI::App& app, RunCommand& run);
void AddVerifyLossless(CLI::App& app, RunCommand& run);

// Declares every command (commands.cc lists them).
void AddCommands(CLI::App& app, RunCommand& run);

}  // namespace talon
