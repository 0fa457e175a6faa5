// JSON parsing for files and requests: UTF-8 checked, depth limited, errors with a place.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace talon {

using Json = nlohmann::ordered_json;

// Parses one JSON value. `source` names the input in errors ("config.json", "chat.jsonl:12").
// Throws kDataLoss with source, byte position and reason; nesting deeper than 128 is refused.
Json ParseJson(std::string_view text, const std::string& source);

// Reads and parses a whole file (at most 256 MiB).
Json ReadJsonFile(const std::filesystem::path& path);

// Reads a whole file as text. Throws kNotFound or, above `max_bytes`, kDataLoss.
std::string ReadTextFile(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 28);

}  // namespace talon
