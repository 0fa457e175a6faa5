#include "talon/base/error.h"

namespace talon {

int ExitCode(ErrorCode code) { return code == ErrorCode::kInvalidArgument ? 2 : 1; }

void CheckInternal(bool condition, const char* what) {
  if (!condition) throw Error(ErrorCode::kInternal, fmt::format("internal error: {}", what));
}

}  // namespace talon
