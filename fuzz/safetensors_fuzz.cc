// Any bytes as a safetensors file: parsed tensors must lie inside the file, everything else must be
// a talon::Error.
#include <cstddef>
#include <cstdint>
#include <span>

#include "talon/base/error.h"
#include "talon/checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  [[maybe_unused]] volatile int sink = 0;
  try {
    const talon::SafetensorsFile file = talon::SafetensorsFile::FromMemory(bytes, "fuzz");
    size_t total = 8 + file.header().size();
    for (const auto& [name, tensor] : file.tensors()) {
      total += tensor.bytes.size();
      // A sanitizer sees reads outside the file.
      if (!tensor.bytes.empty())
        sink = std::to_integer<int>(tensor.bytes.front() ^ tensor.bytes.back());
      if (tensor.num_elements() * talon::SizeOf(tensor.dtype) !=
          static_cast<int64_t>(tensor.bytes.size())) {
        __builtin_trap();
      }
    }
    if (total != size) __builtin_trap();
  } catch (const talon::Error&) {
  }
  return 0;
}
