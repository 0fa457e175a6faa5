// The command line that is run, for provenance records.
#pragma once

#include <string>
#include <vector>

namespace talon {

// Called by main(), and by the demo for each of its steps; with the program's name in front.
void RememberCommandLine(std::vector<std::string> arguments);

// Empty before that.
const std::vector<std::string>& CommandLine();

}  // namespace talon
