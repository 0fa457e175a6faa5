// "Did you mean ...?" for a flag that a command does not have.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace talon {

// A sentence about the first unknown flag that parsing left over, with the nearest known one; empty
// when what is left over is no flag.
std::string DescribeUnknownFlag(const CLI::App& app);

}  // namespace talon
