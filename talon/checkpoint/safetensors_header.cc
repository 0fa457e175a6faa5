#include "talon/checkpoint/safetensors_header.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

#include "talon/base/error.h"

namespace talon {
namespace {

using HeaderJson = nlohmann::json;

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's limit
constexpr size_t kMaxDepth = 16;

std::string_view HeaderText(std::span<const std::byte> bytes, const std::string& source) {
  if (bytes.size() < kLengthBytes) {
    Throw(
        ErrorCode::kDataLoss,
        "{}: {} bytes, too short for a safetensors file, which starts with an 8-byte header length",
        source, bytes.size());
  }
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) {
    header_bytes |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  }
  if (header_bytes > kMaxHeaderBytes) {
    Throw(ErrorCode::kDataLoss,
          "{}: header length {} bytes, more than the format's limit of {}; not a safetensors file",
          source, header_bytes, kMaxHeaderBytes);
  }
  if (header_bytes > bytes.size() - kLengthBytes) {
    Throw(ErrorCode::kDataLoss,
          "{}: header length {} bytes, but only {} follow it; the file is truncated", source,
          header_bytes, bytes.size() - kLengthBytes);
  }
  return {reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, header_bytes};
}

// Parses the header, refusing repeated keys (the parser alone would keep the last one).
HeaderJson ParseStrict(std::string_view text, const std::string& source) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text[first] != '{') {
    Throw(ErrorCode::kDataLoss, "{}: the header is not a JSON object", source);
  }
  std::vector<std::set<std::string>> keys;  // of every open object
  size_t depth = 0;
  const auto check = [&](int, HeaderJson::parse_event_t event, HeaderJson& parsed) {
    using Event = HeaderJson::parse_event_t;
    if (event == Event::object_start || event == Event::array_start) {
      if (++depth > kMaxDepth) Throw(ErrorCode::kDataLoss, "{}: header nested too deeply", source);
    } else if (event == Event::object_end || event == Event::array_end) {
      --depth;
    }
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second) {
      Throw(ErrorCode::kDataLoss, "{}: the header has the key '{}' twice", source,
            parsed.get<std::string>());
    }
    return true;
  };
  try {
    return HeaderJson::parse(text, check);
  } catch (const HeaderJson::exception& error) {
    Throw(ErrorCode::kDataLoss, "{}: the header is not valid JSON: {}", source, error.what());
  }
}

DType ParseDType(const HeaderJson& info, const std::string& what) {
  const auto found = info.find("dtype");
  if (found == info.end() || !found->is_string()) {
    Throw(ErrorCode::kDataLoss, "{}: 'dtype' is missing or no string", what);
  }
  const auto& name = found->get_ref<const std::string&>();
  for (int i = 0; i <= static_cast<int>(DType::kF64); ++i) {
    const auto dtype = static_cast<DType>(i);
    if (Name(dtype) == name) return dtype;
  }
  static const std::set<std::string> kKnown = {"F4",          "F6_E2M3",     "F6_E3M2", "F8_E8M0",
                                               "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64"};
  if (kKnown.contains(name)) {
    Throw(ErrorCode::kUnsupported,
          "{}: dtype {}; Talon reads BF16, F32, F8_E4M3 and NVFP4 packed as U8", what, name);
  }
  Throw(ErrorCode::kDataLoss, "{}: unknown dtype '{}'", what, name);
}

// The non-negative integers of info[field].
std::vector<int64_t> ParseIntegers(const HeaderJson& info, const char* field,
                                   const std::string& what) {
  const auto found = info.find(field);
  if (found == info.end() || !found->is_array()) {
    Throw(ErrorCode::kDataLoss, "{}: '{}' is missing or no list", what, field);
  }
  std::vector<int64_t> values;
  for (const HeaderJson& item : *found) {
    if (!item.is_number_unsigned() ||
        item.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
      Throw(ErrorCode::kDataLoss, "{}: '{}' holds {}, which is no valid size", what, field,
            item.is_structured() ? "a list" : item.dump());
    }
    values.push_back(item.get<int64_t>());
  }
  return values;
}

SafetensorsEntry ParseEntry(const std::string& name, const HeaderJson& info, size_t data_begin,
                            size_t data_bytes, const std::string& source) {
  const std::string what = fmt::format("{}: tensor '{}'", source, name);
  if (!info.is_object()) Throw(ErrorCode::kDataLoss, "{}: its entry is no JSON object", what);
  SafetensorsEntry entry;
  entry.name = name;
  entry.dtype = ParseDType(info, what);
  entry.shape = ParseIntegers(info, "shape", what);
  const std::vector<int64_t> offsets = ParseIntegers(info, "data_offsets", what);
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    Throw(ErrorCode::kDataLoss, "{}: 'data_offsets' is no pair of a begin and a later end", what);
  }
  if (static_cast<uint64_t>(offsets[1]) > data_bytes) {
    Throw(ErrorCode::kDataLoss,
          "{}: its bytes end at {}, but the file has only {} bytes of data; the file is truncated",
          what, offsets[1], data_bytes);
  }
  const int64_t expected = CheckedByteCount(entry.dtype, entry.shape, what);
  if (offsets[1] - offsets[0] != expected) {
    Throw(ErrorCode::kDataLoss, "{}: {} bytes in the file, but {} [{}] takes {}", what,
          offsets[1] - offsets[0], Name(entry.dtype), fmt::join(entry.shape, ", "), expected);
  }
  entry.begin = data_begin + static_cast<size_t>(offsets[0]);
  entry.end = data_begin + static_cast<size_t>(offsets[1]);
  return entry;
}

std::map<std::string, std::string> ParseMetadata(const HeaderJson& json,
                                                 const std::string& source) {
  std::map<std::string, std::string> metadata;
  if (json.is_null()) return metadata;
  if (!json.is_object()) {
    Throw(ErrorCode::kDataLoss, "{}: '__metadata__' is no JSON object", source);
  }
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      Throw(ErrorCode::kDataLoss, "{}: '__metadata__' entry '{}' is no string", source, key);
    }
    metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

// Sorted entries must cover the data section exactly.
void CheckCoverage(const std::vector<SafetensorsEntry>& entries, size_t data_begin,
                   size_t file_bytes, const std::string& source) {
  size_t position = data_begin;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != position) {
      Throw(ErrorCode::kDataLoss, "{}: tensor '{}' starts at byte {} of the data, expected {}: {}",
            source, entry.name, entry.begin - data_begin, position - data_begin,
            entry.begin < position ? "it overlaps another tensor" : "there is a hole before it");
    }
    position = entry.end;
  }
  if (position != file_bytes) {
    Throw(ErrorCode::kDataLoss, "{}: {} bytes follow the last tensor; expected none", source,
          file_bytes - position);
  }
}

}  // namespace

int64_t CheckedByteCount(DType dtype, const std::vector<int64_t>& shape, const std::string& what) {
  int64_t bytes = SizeOf(dtype);
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(bytes, size, &bytes)) {
      Throw(ErrorCode::kDataLoss, "{}: shape [{}] is too large for any file", what,
            fmt::join(shape, ", "));
    }
  }
  return bytes;
}

SafetensorsHeader ParseSafetensorsHeader(std::span<const std::byte> bytes,
                                         const std::string& source) {
  SafetensorsHeader header;
  header.json = HeaderText(bytes, source);
  const size_t data_begin = kLengthBytes + header.json.size();
  const HeaderJson json = ParseStrict(header.json, source);
  for (const auto& [name, info] : json.items()) {
    if (name == "__metadata__") {
      header.metadata = ParseMetadata(info, source);
    } else {
      header.entries.push_back(
          ParseEntry(name, info, data_begin, bytes.size() - data_begin, source));
    }
  }
  std::sort(header.entries.begin(), header.entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
            });
  CheckCoverage(header.entries, data_begin, bytes.size(), source);
  return header;
}

}  // namespace talon
