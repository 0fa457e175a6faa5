#include "talon/base/json.h"

#include "talon/base/error.h"
#include "talon/base/mapped_file.h"

namespace talon {
namespace {

constexpr int kMaxDepth = 128;

// Depth is counted on the text, since the library's parser recurses while it destroys deep values.
void CheckDepth(std::string_view text, const std::string& source) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) {
        Throw(ErrorCode::kDataLoss, "{}: JSON nested deeper than {} levels at byte {}", source,
              kMaxDepth, i);
      }
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

// The library's sentence without its exception id, "[json.exception.parse_error.101] ".
std::string_view Reason(const nlohmann::json::exception& error) {
  std::string_view reason = error.what();
  const size_t end = reason.starts_with('[') ? reason.find("] ") : std::string_view::npos;
  if (end != std::string_view::npos) reason.remove_prefix(end + 2);
  return reason;
}

}  // namespace

Json ParseJson(std::string_view text, const std::string& source) {
  CheckDepth(text, source);
  try {
    return Json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    Throw(ErrorCode::kDataLoss, "{}: not valid JSON: {}", source, Reason(error));
  }
}

std::string ReadTextFile(const std::filesystem::path& path, int64_t max_bytes) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (static_cast<int64_t>(bytes.size()) > max_bytes) {
    Throw(ErrorCode::kDataLoss, "{}: {} bytes, more than the {} expected of such a file",
          path.string(), bytes.size(), max_bytes);
  }
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Json ReadJsonFile(const std::filesystem::path& path) {
  return ParseJson(ReadTextFile(path), path.string());
}

}  // namespace talon
