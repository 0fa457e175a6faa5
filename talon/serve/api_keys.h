// The API keys that a request may carry, compared in constant time.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace talon {

class ApiKeys {
 public:
  // No keys: everyone may ask.
  explicit ApiKeys(const std::vector<std::string>& keys);

  bool empty() const { return digests_.empty(); }
  // Whether an Authorization header's value is "Bearer KEY" with a known key. Keys are compared by
  // their SHA-256, so neither content nor length shows in the time taken.
  bool Accepts(std::string_view authorization) const;

 private:
  std::vector<std::string> digests_;
};

}  // namespace talon
