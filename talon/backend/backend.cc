#include "talon/backend/backend.h"

namespace talon {

Buffer Backend::Import(const void* host, int64_t size_bytes, std::shared_ptr<const void> owner) {
  (void)owner;
  Buffer buffer = Allocate(size_bytes);
  Upload(host, size_bytes, buffer.get());
  return buffer;
}

}  // namespace talon
