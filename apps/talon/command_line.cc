#include "apps/talon/command_line.h"

#include <utility>

namespace talon {
namespace {

std::vector<std::string>& Arguments() {
  static std::vector<std::string> arguments;
  return arguments;
}

}  // namespace

void RememberCommandLine(std::vector<std::string> arguments) { Arguments() = std::move(arguments); }

const std::vector<std::string>& CommandLine() { return Arguments(); }

}  // namespace talon
