#include "talon/serve/request_fields.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "talon/serve/nearest_name.h"
#include "talon/serve/request_error.h"

namespace talon {
namespace {

// Whole numbers that a double holds exactly; larger ones written as 1e30 are refused.
constexpr double kMaxExactInteger = 9007199254740992.0;  // 2^53
// Longer names get no suggestion: the edit distance of a megabyte would cost seconds.
constexpr size_t kMaxNameSize = 64;

std::optional<int64_t> WholeNumber(const Json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return std::nullopt;
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  if (!(std::abs(number) <= kMaxExactInteger) || number != std::trunc(number)) return std::nullopt;
  return static_cast<int64_t>(number);
}

std::optional<int64_t> WholeNumberIn(const Json& value, int64_t least, int64_t most) {
  const std::optional<int64_t> number = WholeNumber(value);
  return number && *number >= least && *number <= most ? number : std::nullopt;
}

[[noreturn]] void RefuseInteger(const std::string& path, const Json& value, int64_t least,
                                int64_t most) {
  RefuseField(path, "is {}; expected a whole number from {} to {}", Describe(value), least, most);
}

bool IsNeutral(const Json& value, const Json& neutral) {
  if (value == neutral) return true;
  if (value.is_number()) return value.get<double>() == 0.0;
  if (value.is_boolean()) return !value.get<bool>();
  return value.empty() || value == "";  // null, {}, [], ""
}

}  // namespace

std::string Describe(const Json& value) {
  if (value.is_number() || value.is_boolean() || value.is_null()) return value.dump();
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return text.size() > 64 ? "a string" : fmt::format("the string '{}'", text);
  }
  return value.is_array() ? "a list" : "an object";
}

RequestFields::RequestFields(const Json& object, std::string path)
    : object_(object), path_(std::move(path)) {
  if (object.is_object()) return;
  if (path_.empty()) {
    throw RequestError(ErrorCode::kInvalidArgument,
                       "the request is " + Describe(object) + "; expected a JSON object", "");
  }
  path_.pop_back();
  RefuseField(path_, "is {}; expected an object", Describe(object));
}

const Json* RequestFields::Find(const std::string& name) {
  known_.push_back(name);
  const auto field = object_.find(name);
  return field == object_.end() || field->is_null() ? nullptr : &*field;
}

const Json& RequestFields::Require(const std::string& name) {
  const Json* value = Find(name);
  if (value == nullptr) RefuseField(Path(name), "is missing");
  return *value;
}

std::optional<bool> RequestFields::Bool(const std::string& name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    RefuseField(Path(name), "is {}; expected true or false", Describe(*value));
  }
  return value->get<bool>();
}

std::optional<std::string> RequestFields::String(const std::string& name) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) RefuseField(Path(name), "is {}; expected a string", Describe(*value));
  return value->get<std::string>();
}

std::optional<int64_t> RequestFields::Integer(const std::string& name, int64_t least,
                                              int64_t most) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> number = WholeNumberIn(*value, least, most);
  if (!number) RefuseInteger(Path(name), *value, least, most);
  return number;
}

std::optional<double> RequestFields::Number(const std::string& name, double least, double most) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (!(number >= least && number <= most)) {
    RefuseField(Path(name), "is {}; expected a number from {} to {}", Describe(*value), least,
                most);
  }
  return number;
}

std::optional<std::vector<int32_t>> RequestFields::Integers(const std::string& name, int32_t least,
                                                            int32_t most, size_t max_size) {
  const Json* value = Find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array()) {
    RefuseField(Path(name), "is {}; expected a list of whole numbers", Describe(*value));
  }
  if (value->size() > max_size) {
    RefuseField(Path(name), "has {} entries; expected at most {}", value->size(), max_size);
  }
  std::vector<int32_t> numbers;
  numbers.reserve(value->size());
  for (const Json& entry : *value) {
    const std::optional<int64_t> number = WholeNumberIn(entry, least, most);
    if (!number) {
      RefuseInteger(fmt::format("{}[{}]", Path(name), numbers.size()), entry, least, most);
    }
    numbers.push_back(static_cast<int32_t>(*number));
  }
  return numbers;
}

void RequestFields::Ignore(std::initializer_list<const char*> names) {
  known_.insert(known_.end(), names.begin(), names.end());
}

void RequestFields::Unsupported(std::initializer_list<const char*> names, const Json& neutral) {
  for (const char* name : names) {
    const Json* value = Find(name);
    if (value != nullptr && !IsNeutral(*value, neutral)) {
      RefuseField(Path(name), "is not supported by this server; leave it out");
    }
  }
}

void RequestFields::RefuseUnknown() const {
  for (const auto& [name, value] : object_.items()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    if (name.size() > kMaxNameSize) {
      RefuseField(Path(name.substr(0, kMaxNameSize)) + "...", "is not a known field");
    }
    RefuseField(Path(name), "is not a known field; the nearest one is '{}'",
                NearestName(name, known_));
  }
}

}  // namespace talon
