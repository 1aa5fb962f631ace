#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/status.h"

struct evp_md_ctx_st;

namespace claw {

// SHA-256 over bytes as they come by. Aborts if the crypto library cannot do SHA-256.
class Sha256 {
 public:
  Sha256();
  void Update(std::string_view bytes);
  // "sha256:" and 64 hexadecimal digits. Ends the computation: to be called once, last.
  std::string Finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

std::string DigestOf(std::string_view bytes);

// Exactly "sha256:" and 64 lower-case hexadecimal digits, so that the rest is a safe file name.
bool IsDigest(std::string_view text);
bool IsDigestHex(std::string_view text);
// The 64 digits of a digest.
std::string_view DigestHex(std::string_view digest);

}  // namespace claw
