// Typed, range-checked access to the fields of a JSON request. Every name that is read becomes
// known; what is left at the end is refused with the nearest known name. A null field counts as
// absent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "talon/base/json.h"

namespace talon {

class RequestFields {
 public:
  // `path` is put before names in errors ("stream_options."). Throws unless `object` is an object.
  explicit RequestFields(const Json& object, std::string path = "");

  // The field, or null when absent.
  const Json* Find(const std::string& name);
  // The field; refused when absent.
  const Json& Require(const std::string& name);

  std::optional<bool> Bool(const std::string& name);
  std::optional<std::string> String(const std::string& name);
  // Whole numbers (16.0 too) within [least, most].
  std::optional<int64_t> Integer(const std::string& name, int64_t least, int64_t most);
  // Finite numbers within [least, most].
  std::optional<double> Number(const std::string& name, double least, double most);
  // A list of at most `max_size` whole numbers within [least, most].
  std::optional<std::vector<int32_t>> Integers(const std::string& name, int32_t least, int32_t most,
                                               size_t max_size);

  // Names that are accepted and change nothing.
  void Ignore(std::initializer_list<const char*> names);
  // Refuses each field that is set, unless it is empty, false, zero or otherwise equal to
  // `neutral`.
  void Unsupported(std::initializer_list<const char*> names, const Json& neutral = nullptr);
  // Refuses the fields nobody asked for.
  void RefuseUnknown() const;

  std::string Path(const std::string& name) const { return path_ + name; }

 private:
  const Json& object_;
  std::string path_;
  std::vector<std::string> known_;
};

// What an error calls a value: "a string", "null", "-1".
std::string Describe(const Json& value);

}  // namespace talon
