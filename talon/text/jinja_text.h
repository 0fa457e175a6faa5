// The few Jinja and Python text rules that the published chat templates rely on.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "talon/base/json.h"

namespace talon {

// Filter `trim`: Python's str.strip(), which strips Unicode white space.
std::string_view JinjaTrim(std::string_view text);

// Filter `upper`; letters outside ASCII are left as they are.
std::string JinjaUpper(std::string_view text);

// Filter `dictsort`: the fields of an object by name, ignoring the case of ASCII letters; equal
// names keep their order.
std::vector<std::pair<std::string_view, const Json*>> JinjaDictSort(const Json& object);

// What {{ value }} prints for a string, number, boolean or null. Lists and objects print as Python
// does for lists of strings only; others throw kInvalidArgument naming `path`.
std::string JinjaPrint(const Json& value, const std::string& path);

// `if value`: false for a missing (nullptr), null, zero or empty value.
bool JinjaTruth(const Json* value);

}  // namespace talon
