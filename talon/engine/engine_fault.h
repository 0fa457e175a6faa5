// Deliberate mistakes that the tests of equal output must notice.
#pragma once

#include <cstdint>

namespace talon {

enum class EngineFault : uint8_t {
  kNone,
  kHashWithoutSuccessor,  // drafter blocks are found whatever token follows them
  kHashWithoutParent,     // blocks are found whatever precedes them
  kReleaseInsideWindow,   // sliding pages go back one page too soon
};

}  // namespace talon
