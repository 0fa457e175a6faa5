// The program's arguments as they were typed, for provenance records.
#pragma once

#include <string>
#include <vector>

namespace talon {

// Called once by main().
void RememberCommandLine(int argc, char** argv);

// Empty before that.
const std::vector<std::string>& CommandLine();

}  // namespace talon
