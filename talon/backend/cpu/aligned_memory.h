// Host memory aligned to cache lines.
#pragma once

#include <cstdint>

#include "talon/backend/tensor.h"

namespace talon::cpu {

// 64-byte aligned, not cleared. Throws kResourceExhausted.
Buffer AllocateAligned(int64_t size_bytes);

}  // namespace talon::cpu
