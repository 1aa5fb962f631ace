#include "agent/model/tenant.h"

#include <algorithm>

namespace claw {
namespace {

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }

}  // namespace

std::string_view ToString(Trust trust) {
  return trust == Trust::kTrusted ? "trusted" : "untrusted";
}

StatusOr<Trust> ParseTrust(std::string_view text) {
  if (text == "trusted") return Trust::kTrusted;
  if (text == "untrusted") return Trust::kUntrusted;
  return InvalidArgument("'", text, "' is not a trust: it is 'trusted' or 'untrusted'");
}

Status ValidateName(std::string_view what, std::string_view name) {
  const auto allowed = [](char c) { return IsLower(c) || (c >= '0' && c <= '9') || c == '-'; };
  if (!name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), allowed) &&
      IsLower(name.front()) && name.back() != '-') {
    return absl::OkStatus();
  }
  const bool printable =
      std::all_of(name.begin(), name.end(), [](char c) { return c >= ' ' && c <= '~'; });
  return MakeError(
      StatusCode::kInvalidArgument,
      StrCat(what, printable && name.size() <= 80 ? StrCat(" '", name, "'") : "",
             " is not a name: 1 to 63 of a-z, 0-9 and '-', starting with a letter and not "
             "ending with '-'"),
      {.reason = "BAD_NAME", .constraint = std::string(what)});
}

}  // namespace claw
