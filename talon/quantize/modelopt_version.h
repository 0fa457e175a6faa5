// The ModelOpt release whose file formats Talon writes; recorded as producer, since readers ask for
// it.
#pragma once

namespace talon {

inline constexpr char kModelOptVersion[] = "0.47.0";

}  // namespace talon
