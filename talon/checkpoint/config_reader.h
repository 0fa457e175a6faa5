// Reads typed fields of a Hugging Face config. Every error names file, field, what was found and
// what was expected. A null field counts as absent.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "talon/base/error.h"
#include "talon/base/json.h"

namespace talon {

class ConfigReader {
 public:
  // `json` must outlive the reader. `prefix` is the path of `json` inside the file
  // ("text_config.").
  ConfigReader(const Json& json, std::string source, std::string prefix = "");

  // nullptr when absent or null.
  const Json* Find(const std::string& key) const;
  bool Has(const std::string& key) const { return Find(key) != nullptr; }
  const Json& json() const { return *json_; }

  // The forms without a default throw kDataLoss when the field is absent; all throw it for another
  // type or a value outside [min, max].
  int64_t Integer(const std::string& key, int64_t min, int64_t max) const;
  int64_t IntegerOr(const std::string& key, int64_t missing, int64_t min, int64_t max) const;
  double PositiveNumber(const std::string& key) const;
  double PositiveNumberOr(const std::string& key, double missing) const;
  bool BoolOr(const std::string& key, bool missing) const;
  std::string StringOr(const std::string& key, const std::string& missing) const;
  // A list of integers; a single integer counts as a list of one. Empty when absent.
  std::vector<int64_t> IntegersOrEmpty(const std::string& key, int64_t min, int64_t max) const;
  // A list of strings. Empty when absent.
  std::vector<std::string> StringsOrEmpty(const std::string& key) const;
  // A nested object; throws kDataLoss when absent or no object.
  ConfigReader Object(const std::string& key) const;

  // "config.json: field 'text_config.hidden_size'"
  std::string Where(const std::string& key) const;
  const std::string& source() const { return source_; }

  // Throws kUnsupported: "<Where>: <value>; <why>".
  [[noreturn]] void Unsupported(const std::string& key, const std::string& why) const;

 private:
  // Throws kDataLoss: "<Where>: found <value>, expected <expected>".
  [[noreturn]] void Mismatch(const std::string& key, const std::string& expected) const;

  const Json* json_;
  std::string source_;
  std::string prefix_;
};

}  // namespace talon
