#include "apps/talon/unknown_flag.h"

#include <fmt/format.h>

#include <vector>

#include "talon/serve/nearest_name.h"

namespace talon {
namespace {

std::vector<std::string> KnownFlags(const CLI::App& app) {
  std::vector<std::string> names;
  const auto add = [&names](const CLI::App& command) {
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  };
  for (const CLI::App* command : app.get_subcommands()) add(*command);
  add(app);
  return names;
}

}  // namespace

std::string DescribeUnknownFlag(const CLI::App& app) {
  for (std::string argument : app.remaining(/*recurse=*/true)) {
    if (!argument.starts_with("--")) continue;
    argument = argument.substr(0, argument.find('='));
    return fmt::format("unknown flag {}; the nearest one is {}", argument,
                       NearestName(argument, KnownFlags(app)));
  }
  return "";
}

}  // namespace talon
