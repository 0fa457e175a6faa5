#include "talon/base/hash.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "talon/base/error.h"

namespace talon {

struct Sha256::Context {
  EVP_MD_CTX* md = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(md); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  CheckInternal(EVP_DigestInit_ex(context_->md, EVP_sha256(), nullptr) == 1, "SHA-256 unavailable");
}

Sha256::~Sha256() = default;

void Sha256::Update(std::span<const std::byte> bytes) {
  EVP_DigestUpdate(context_->md, bytes.data(), bytes.size());
}

void Sha256::Update(std::string_view text) {
  EVP_DigestUpdate(context_->md, text.data(), text.size());
}

std::array<std::byte, 32> Sha256::FinishBytes() {
  std::array<std::byte, 32> digest = {};
  EVP_DigestFinal_ex(context_->md, reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return digest;
}

std::string Sha256::Finish() {
  std::string hex;
  for (const std::byte byte : FinishBytes()) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::string Sha256Hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

std::string Sha256Hex(std::string_view text) {
  return Sha256Hex(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace talon
