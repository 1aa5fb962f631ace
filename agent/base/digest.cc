#include "agent/base/digest.h"

#include <absl/strings/escaping.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace claw {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr size_t kHexDigits = 64;

}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) std::abort();
}

void Sha256::Update(std::string_view bytes) {
  if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) std::abort();
}

std::string Sha256::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(context_.get(), raw.data(), &size) != 1) std::abort();
  const std::string bytes(raw.begin(), raw.begin() + size);
  return StrCat(kPrefix, absl::BytesToHexString(bytes));
}

std::string DigestOf(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

bool IsDigestHex(std::string_view text) {
  return text.size() == kHexDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool IsDigest(std::string_view text) {
  return text.starts_with(kPrefix) && IsDigestHex(text.substr(kPrefix.size()));
}

std::string_view DigestHex(std::string_view digest) { return digest.substr(kPrefix.size()); }

}  // namespace claw
