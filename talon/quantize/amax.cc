#include "talon/quantize/amax.h"

#include <charconv>
#include <limits>
#include <string_view>

#include "talon/base/error.h"
#include "talon/base/json.h"

namespace talon {
namespace {

constexpr std::string_view kInputQuantizer = ".input_quantizer";

[[noreturn]] void Refuse(const std::string& source, const std::string& key, const Json& value) {
  Throw(ErrorCode::kDataLoss,
        "{}: amax of '{}' is {}; expected a finite number above zero (give the largest input "
        "magnitude of that linear, or calibrate)",
        source, key, value.dump());
}

// A number, or its decimal text as PyTorch prints it.
float ParseAmax(const std::string& source, const std::string& key, const Json& value) {
  double amax = 0.0;
  if (value.is_number()) {
    amax = value.get<double>();
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const auto result = std::from_chars(text.data(), text.data() + text.size(), amax);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size()) {
      Refuse(source, key, value);
    }
  } else {
    Refuse(source, key, value);
  }
  if (!(amax > 0.0 && amax <= std::numeric_limits<float>::max())) Refuse(source, key, value);
  return static_cast<float>(amax);
}

InputAmax ParseModelOptAmax(const std::string& source, const Json& calibrated) {
  InputAmax result;
  for (const auto& [key, value] : calibrated.items()) {
    if (value.is_null() || !key.ends_with(kInputQuantizer)) continue;
    if (!value.is_object() || !value.contains("decimal")) Refuse(source, key, value);
    result[key.substr(0, key.size() - kInputQuantizer.size())] =
        ParseAmax(source, key, value.at("decimal"));
  }
  return result;
}

}  // namespace

InputAmax ReadAmaxFile(const std::filesystem::path& path) {
  const Json json = ReadJsonFile(path);
  const std::string source = path.string();
  if (!json.is_object()) {
    Throw(ErrorCode::kDataLoss, "{}: expected a JSON object of amax values by linear", source);
  }
  const auto calibrated = json.find("calibrated");
  if (calibrated != json.end() && calibrated->is_object()) {
    return ParseModelOptAmax(source, *calibrated);
  }
  InputAmax result;
  for (const auto& [key, value] : json.items()) result[key] = ParseAmax(source, key, value);
  return result;
}

}  // namespace talon
