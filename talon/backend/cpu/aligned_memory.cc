// See aligned_memory.h.
#include "talon/backend/cpu/aligned_memory.h"

#include <algorithm>
#include <cstdlib>

#include "talon/base/error.h"

namespace talon::cpu {

Buffer AllocateAligned(int64_t size_bytes) {
  constexpr int64_t kAlignment = 64;
  const int64_t rounded =
      (std::max<int64_t>(size_bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  void* memory = std::aligned_alloc(kAlignment, static_cast<size_t>(rounded));
  if (memory == nullptr) {
    Throw(ErrorCode::kResourceExhausted, "cannot allocate {} bytes of memory", rounded);
  }
  return Buffer(memory, [](void* pointer) { std::free(pointer); });
}

}  // namespace talon::cpu
