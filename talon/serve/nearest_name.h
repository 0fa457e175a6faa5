// "Did you mean ...?": the known name closest to one that is not known, by edit distance.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace talon {

// Insertions, deletions and substitutions that turn `a` into `b`.
int EditDistance(std::string_view a, std::string_view b);

// The closest of `known`; the first one when several are equally close. `known` is not empty.
std::string_view NearestName(std::string_view name, std::span<const std::string> known);

}  // namespace talon
