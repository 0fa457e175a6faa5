#include "talon/serve/api_keys.h"

#include <openssl/crypto.h>

#include "talon/base/error.h"
#include "talon/base/hash.h"

namespace talon {
namespace {

constexpr std::string_view kScheme = "bearer ";

// The name of the scheme may be written in either case.
bool HasScheme(std::string_view authorization) {
  if (authorization.size() < kScheme.size()) return false;
  for (size_t i = 0; i < kScheme.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != kScheme[i]) return false;
  }
  return true;
}

}  // namespace

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    if (key.empty()) Throw(ErrorCode::kInvalidArgument, "--api-key is empty");
    digests_.push_back(Sha256Hex(key));
  }
}

bool ApiKeys::Accepts(std::string_view authorization) const {
  if (digests_.empty()) return true;
  if (!HasScheme(authorization)) return false;
  const std::string given = Sha256Hex(authorization.substr(kScheme.size()));
  int matches = 0;
  for (const std::string& known : digests_) {
    matches += CRYPTO_memcmp(given.data(), known.data(), known.size()) == 0 ? 1 : 0;
  }
  return matches > 0;
}

}  // namespace talon
