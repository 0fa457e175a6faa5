#include "talon/checkpoint/config_reader.h"

#include <cmath>
#include <utility>

namespace talon {
namespace {

// A value as an error shows it: short, whatever the file holds.
std::string Shown(const Json* value) {
  if (value == nullptr) return "nothing";
  constexpr size_t kMaxShown = 80;
  const std::string text = value->dump(-1, ' ', false, Json::error_handler_t::replace);
  return text.size() <= kMaxShown ? text : text.substr(0, kMaxShown) + "...";
}

bool IsIntegerIn(const Json& value, int64_t min, int64_t max) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    return number <= static_cast<uint64_t>(INT64_MAX) && static_cast<int64_t>(number) >= min &&
           static_cast<int64_t>(number) <= max;
  }
  return value.is_number_integer() && value.get<int64_t>() >= min && value.get<int64_t>() <= max;
}

}  // namespace

ConfigReader::ConfigReader(const Json& json, std::string source, std::string prefix)
    : json_(&json), source_(std::move(source)), prefix_(std::move(prefix)) {
  if (!json.is_object()) {
    Throw(ErrorCode::kDataLoss, "{}: found {}, expected a JSON object", source_, Shown(&json));
  }
}

const Json* ConfigReader::Find(const std::string& key) const {
  const auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

std::string ConfigReader::Where(const std::string& key) const {
  return fmt::format("{}: field '{}{}'", source_, prefix_, key);
}

void ConfigReader::Unsupported(const std::string& key, const std::string& why) const {
  Throw(ErrorCode::kUnsupported, "{}: {}; {}", Where(key), Shown(Find(key)), why);
}

void ConfigReader::Mismatch(const std::string& key, const std::string& expected) const {
  Throw(ErrorCode::kDataLoss, "{}: found {}, expected {}", Where(key), Shown(Find(key)), expected);
}

int64_t ConfigReader::Integer(const std::string& key, int64_t min, int64_t max) const {
  const Json* value = Find(key);
  if (value == nullptr || !IsIntegerIn(*value, min, max)) {
    Mismatch(key, fmt::format("an integer from {} to {}", min, max));
  }
  return value->get<int64_t>();
}

int64_t ConfigReader::IntegerOr(const std::string& key, int64_t missing, int64_t min,
                                int64_t max) const {
  return Has(key) ? Integer(key, min, max) : missing;
}

double ConfigReader::PositiveNumber(const std::string& key) const {
  const Json* value = Find(key);
  if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>()) ||
      value->get<double>() <= 0) {
    Mismatch(key, "a positive number");
  }
  return value->get<double>();
}

double ConfigReader::PositiveNumberOr(const std::string& key, double missing) const {
  return Has(key) ? PositiveNumber(key) : missing;
}

bool ConfigReader::BoolOr(const std::string& key, bool missing) const {
  const Json* value = Find(key);
  if (value == nullptr) return missing;
  if (!value->is_boolean()) Mismatch(key, "true or false");
  return value->get<bool>();
}

std::string ConfigReader::StringOr(const std::string& key, const std::string& missing) const {
  const Json* value = Find(key);
  if (value == nullptr) return missing;
  if (!value->is_string()) Mismatch(key, "a string");
  return value->get<std::string>();
}

std::vector<int64_t> ConfigReader::IntegersOrEmpty(const std::string& key, int64_t min,
                                                   int64_t max) const {
  const Json* value = Find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) return {Integer(key, min, max)};
  std::vector<int64_t> values;
  for (const Json& item : *value) {
    if (!IsIntegerIn(item, min, max)) {
      Mismatch(key, fmt::format("a list of integers from {} to {}", min, max));
    }
    values.push_back(item.get<int64_t>());
  }
  return values;
}

std::vector<std::string> ConfigReader::StringsOrEmpty(const std::string& key) const {
  const Json* value = Find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) Mismatch(key, "a list of strings");
  std::vector<std::string> values;
  for (const Json& item : *value) {
    if (!item.is_string()) Mismatch(key, "a list of strings");
    values.push_back(item.get<std::string>());
  }
  return values;
}

ConfigReader ConfigReader::Object(const std::string& key) const {
  const Json* value = Find(key);
  if (value == nullptr || !value->is_object()) Mismatch(key, "a JSON object");
  return {*value, source_, prefix_ + key + "."};
}

}  // namespace talon
