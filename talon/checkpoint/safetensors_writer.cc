// Writes safetensors files in the byte layout of the reference library.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "talon/base/atomic_output.h"
#include "talon/base/error.h"
#include "talon/checkpoint/safetensors.h"
#include "talon/checkpoint/safetensors_header.h"

namespace talon {
namespace {

// Position of a dtype in the file: the reference library sorts by its enum, descending.
int FileOrder(DType dtype) {
  switch (dtype) {
    case DType::kU64:
      return 0;
    case DType::kI64:
      return 1;
    case DType::kF64:
      return 2;
    case DType::kF32:
      return 3;
    case DType::kU32:
      return 4;
    case DType::kI32:
      return 5;
    case DType::kBF16:
      return 6;
    case DType::kF16:
      return 7;
    case DType::kU16:
      return 8;
    case DType::kI16:
      return 9;
    case DType::kF8E4M3:
      return 10;
    case DType::kF8E5M2:
      return 11;
    case DType::kI8:
      return 12;
    case DType::kU8:
      return 13;
    case DType::kBool:
      return 14;
  }
  return 15;
}

std::string Quoted(const std::string& text) { return nlohmann::json(text).dump(); }

// The length word and the padded JSON header. `specs` are in file order.
std::string HeaderBytes(const std::vector<TensorSpec>& specs,
                        const std::map<std::string, std::string>& metadata) {
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      json += fmt::format("{}{}:{}", json.back() == '{' ? "" : ",", Quoted(key), Quoted(value));
    }
    json += "}";
  }
  int64_t begin = 0;
  for (const TensorSpec& spec : specs) {
    const int64_t end = begin + CheckedByteCount(spec.dtype, spec.shape, spec.name);
    json += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                        json.back() == '{' ? "" : ",", Quoted(spec.name), Name(spec.dtype),
                        fmt::join(spec.shape, ","), begin, end);
    begin = end;
  }
  json += "}";
  json.resize((json.size() + 7) / 8 * 8, ' ');

  std::string length(8, '\0');
  for (size_t i = 0; i < length.size(); ++i) {
    length[i] = static_cast<char>((json.size() >> (8 * i)) & 0xFF);
  }
  return length + json;
}

}  // namespace

void WriteSafetensors(const std::filesystem::path& path, std::vector<TensorSpec> specs,
                      const std::map<std::string, std::string>& metadata,
                      const ProduceTensor& produce) {
  std::sort(specs.begin(), specs.end(), [](const TensorSpec& a, const TensorSpec& b) {
    return std::make_tuple(FileOrder(a.dtype), std::cref(a.name)) <
           std::make_tuple(FileOrder(b.dtype), std::cref(b.name));
  });
  std::set<std::string> names;
  for (const TensorSpec& spec : specs) names.insert(spec.name);
  CheckInternal(names.size() == specs.size(), "WriteSafetensors: a tensor name occurs twice");
  AtomicFile file(path);
  file.Write(HeaderBytes(specs, metadata));
  for (const TensorSpec& spec : specs) {
    const int64_t begin = file.size_bytes();
    produce(spec, [&file](std::span<const std::byte> bytes) { file.Write(bytes); });
    const int64_t expected = CheckedByteCount(spec.dtype, spec.shape, spec.name);
    if (file.size_bytes() - begin != expected) {
      Throw(ErrorCode::kInternal, "{}: tensor '{}' was written with {} bytes instead of {}",
            path.string(), spec.name, file.size_bytes() - begin, expected);
    }
  }
  file.Commit();
}

}  // namespace talon
