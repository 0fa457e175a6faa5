#include "talon/text/json_fields.h"

#include "talon/base/error.h"

namespace talon {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

JsonFields JsonFields::Root(const element& root, const std::string& source) {
  object fields;
  if (root.get(fields) != simdjson::SUCCESS) {
    Throw(ErrorCode::kDataLoss, "{}: holds no JSON object", source);
  }
  return {fields, &source, ""};
}

std::string JsonFields::Path(std::string_view name) const {
  return fmt::format("{}: field '{}{}'", *source_, prefix_, name);
}

template <typename T>
T JsonFields::Get(std::string_view name, std::string_view type_name) const {
  element value;
  if (object_.at_key(name).get(value) != simdjson::SUCCESS) {
    Throw(ErrorCode::kDataLoss, "{} is missing; expected {}", Path(name), type_name);
  }
  T result;
  if (value.get(result) != simdjson::SUCCESS) {
    Throw(ErrorCode::kDataLoss, "{} is not {}", Path(name), type_name);
  }
  return result;
}

bool JsonFields::Has(std::string_view name) const {
  element value;
  return object_.at_key(name).get(value) == simdjson::SUCCESS && !value.is_null();
}

object JsonFields::RawObject(std::string_view name) const { return Get<object>(name, "an object"); }

array JsonFields::RawArray(std::string_view name) const { return Get<array>(name, "an array"); }

std::string_view JsonFields::String(std::string_view name) const {
  return Get<std::string_view>(name, "a string");
}

bool JsonFields::Bool(std::string_view name) const { return Get<bool>(name, "true or false"); }

int64_t JsonFields::Integer(std::string_view name) const {
  return Get<int64_t>(name, "an integer");
}

JsonFields JsonFields::Object(std::string_view name) const {
  return {RawObject(name), source_, fmt::format("{}{}.", prefix_, name)};
}

std::vector<JsonFields> JsonFields::Objects(std::string_view name) const {
  std::vector<JsonFields> objects;
  for (const element entry : RawArray(name)) {
    const std::string indexed = fmt::format("{}[{}]", name, objects.size());
    object fields;
    if (entry.get(fields) != simdjson::SUCCESS) {
      Throw(ErrorCode::kDataLoss, "{} is not an object", Path(indexed));
    }
    objects.push_back({fields, source_, fmt::format("{}{}.", prefix_, indexed)});
  }
  return objects;
}

void JsonFields::Expect(std::string_view name, std::string_view expected) const {
  const std::string_view found = Has(name) ? String(name) : "";
  if (found != expected) {
    Throw(ErrorCode::kUnsupported, "{} is '{}'; Talon implements only '{}'", Path(name), found,
          expected);
  }
}

void JsonFields::Expect(std::string_view name, bool expected) const {
  const bool found = Has(name) && Bool(name);
  if (found != expected) {
    Throw(ErrorCode::kUnsupported, "{} is {}; Talon implements only {}", Path(name), found,
          expected);
  }
}

}  // namespace talon
