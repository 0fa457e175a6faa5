// The header of a safetensors file: parsed and checked against the file's size, without touching
// the tensors' bytes. Source: github.com/huggingface/safetensors, safetensors/src/tensor.rs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "talon/numeric/dtype.h"

namespace talon {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  // Byte range in the file (not in the data section).
  size_t begin = 0;
  size_t end = 0;
};

struct SafetensorsHeader {
  std::string_view json;                        // into the parsed bytes
  std::vector<SafetensorsEntry> entries;        // in file order
  std::map<std::string, std::string> metadata;  // "__metadata__"
};

// `bytes` is the whole file; `source` names it in errors. Throws kDataLoss for anything the
// reference reader refuses (and for duplicate keys, which it overlooks), kUnsupported for element
// types that Talon has no use for.
SafetensorsHeader ParseSafetensorsHeader(std::span<const std::byte> bytes,
                                         const std::string& source);

// Bytes of a tensor. Throws kDataLoss naming `what` when the count overflows.
int64_t CheckedByteCount(DType dtype, const std::vector<int64_t>& shape, const std::string& what);

}  // namespace talon
