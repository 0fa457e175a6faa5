// `talon bench serve`: load on a running server, with the flags and figures of `vllm bench serve`.
#pragma once

#include <CLI/CLI.hpp>

#include "apps/talon/commands.h"

namespace talon {

// Declares the subcommand of `bench`.
void AddBenchServe(CLI::App& bench, RunCommand& run);

}  // namespace talon
