#include "agent/rpc/page.h"

#include <absl/strings/escaping.h>

#include <array>
#include <cstdint>
#include <cstdio>

namespace claw::rpc {
namespace {

constexpr size_t kChecksumDigits = 8;
constexpr size_t kMaxTokenBytes = 4096;

// FNV-1a: against slips, not against an enemy, who could only read what a list shows anyway.
std::string Checksum(std::string_view text) {
  uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  std::array<char, kChecksumDigits + 1> digits{};
  std::snprintf(digits.data(), digits.size(), "%08x", hash);
  return digits.data();
}

}  // namespace

std::string MakePageToken(std::string_view list, std::string_view last_key) {
  const std::string sum = Checksum(StrCat(list, "\n", last_key));
  return absl::WebSafeBase64Escape(ToAbsl(StrCat(sum, last_key)));
}

StatusOr<std::string> ParsePageToken(std::string_view list, std::string_view token) {
  if (token.empty()) return std::string();
  std::string decoded;
  if (token.size() > kMaxTokenBytes || !absl::WebSafeBase64Unescape(ToAbsl(token), &decoded) ||
      decoded.size() <= kChecksumDigits) {
    return BadField("page_token", "is not a token of this node");
  }
  std::string key = decoded.substr(kChecksumDigits);
  if (decoded.substr(0, kChecksumDigits) != Checksum(StrCat(list, "\n", key))) {
    return BadField("page_token", "is not a token of this list with this filter");
  }
  return key;
}

std::string NumberKey(int64_t number) {
  std::array<char, 24> digits{};
  std::snprintf(digits.data(), digits.size(), "%019lld", static_cast<long long>(number));
  return digits.data();
}

}  // namespace claw::rpc
