// Deliberate mistakes that the tests of equal output must notice.
#pragma once

#include <cstdint>

namespace talon {

enum class EngineFault : uint8_t {
  kNone,
  kHashWithoutSuccessor,  // drafter blocks are found whatever token follows them
  kHashWithoutParent,     // blocks are found whatever precedes them
  kReleaseInsideWindow,   // the first page of the window is dead, as if it had been given back
  kForgetDeferred,        // the drafter never reads rows whose reading was put off
};

}  // namespace talon
