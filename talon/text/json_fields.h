// Typed access to the fields of a simdjson object, with errors that name file and field.
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace talon {

class JsonFields {
 public:
  // Throws kDataLoss when the document is no object.
  static JsonFields Root(const simdjson::dom::element& root, const std::string& source);

  // Present and not null.
  bool Has(std::string_view name) const;

  // Each throws kDataLoss when the field is missing or of another type.
  JsonFields Object(std::string_view name) const;
  std::vector<JsonFields> Objects(std::string_view name) const;
  std::string_view String(std::string_view name) const;
  bool Bool(std::string_view name) const;
  int64_t Integer(std::string_view name) const;
  simdjson::dom::object RawObject(std::string_view name) const;
  simdjson::dom::array RawArray(std::string_view name) const;

  // Throws kUnsupported, naming the field and what it holds, unless it holds `expected`. A field
  // that is missing or null counts as "" or false.
  void Expect(std::string_view name, std::string_view expected) const;
  void Expect(std::string_view name, const char* expected) const {
    Expect(name, std::string_view(expected));
  }
  void Expect(std::string_view name, bool expected) const;

  // "FILE: field 'path.to.name'"
  std::string Path(std::string_view name) const;

 private:
  JsonFields(simdjson::dom::object object, const std::string* source, std::string prefix)
      : object_(object), source_(source), prefix_(std::move(prefix)) {}
  template <typename T>
  T Get(std::string_view name, std::string_view type_name) const;

  simdjson::dom::object object_;
  const std::string* source_;
  std::string prefix_;  // "" or "path.to."
};

}  // namespace talon
