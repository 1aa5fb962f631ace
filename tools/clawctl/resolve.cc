#include "tools/clawctl/resolve.h"

#include <absl/strings/str_join.h>

#include <algorithm>

#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

// Of the ids that the agent gives to sandboxes, and to the reservations that they begin as.
constexpr size_t kSandboxIdLength = 16;
// Of a digest's start, below which a match is chance.
constexpr size_t kShortestDigestPrefix = 4;

bool IsHex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The only candidate; otherwise `missing`, or an error that lists them.
StatusOr<std::string> OnlyOne(std::string_view typed, const std::vector<std::string>& candidates,
                              const Status& missing) {
  if (candidates.empty()) return missing;
  if (candidates.size() == 1) return candidates.front();
  return UsageError(
      StrCat("'", typed, "' is the start of several names: ", absl::StrJoin(candidates, ", ")));
}

}  // namespace

StatusOr<std::string> ResolveSandbox(Client& client, std::string_view typed) {
  const std::string bare(StripPrefix(typed, "sandboxes/"));
  if (bare.empty()) return UsageError("the name of a sandbox is empty");
  std::string name = "sandboxes/" + bare;
  if (IsHex(bare) && bare.size() == kSandboxIdLength) return name;
  const auto found = client.GetSandbox(name);
  if (found.ok()) return found->name();
  // A name that the agent calls malformed can still be the start of an id.
  const bool may_be_prefix = found.status().code() == StatusCode::kNotFound ||
                             found.status().code() == StatusCode::kInvalidArgument;
  if (!may_be_prefix || !IsHex(bare)) return found.status();
  ASSIGN_OR_RETURN(const std::vector<pb::Sandbox> all, client.ListSandboxes("", false));
  std::vector<std::string> candidates;
  for (const pb::Sandbox& sandbox : all) {
    if (sandbox.name().starts_with(name)) candidates.push_back(sandbox.name());
  }
  return OnlyOne(bare, candidates, NotFound("there is no sandbox ", bare));
}

StatusOr<std::string> ResolveImage(Client& client, std::string_view typed) {
  const std::string bare(StripPrefix(typed, "images/"));
  if (bare.empty()) return UsageError("the name of an image is empty");
  const auto found = client.GetImage("images/" + bare);
  // The name as it was typed: what is removed by a reference is that reference.
  if (found.ok()) return "images/" + bare;
  const std::string_view digits = StripPrefix(bare, "sha256:");
  const bool may_be_prefix = found.status().code() == StatusCode::kNotFound ||
                             found.status().code() == StatusCode::kInvalidArgument;
  if (!may_be_prefix || !IsHex(digits) || digits.size() < kShortestDigestPrefix) {
    return found.status();
  }
  ASSIGN_OR_RETURN(const std::vector<pb::Image> all, client.ListImages());
  const std::string start = StrCat("images/sha256:", digits);
  std::vector<std::string> candidates;
  for (const pb::Image& image : all) {
    if (image.name().starts_with(start)) candidates.push_back(image.name());
  }
  return OnlyOne(bare, candidates, NotFound("there is no image ", bare));
}

StatusOr<std::string> ResolveReservation(Client& client, std::string_view typed) {
  const std::string bare(StripPrefix(typed, "reservations/"));
  if (bare.empty()) return UsageError("the id of a reservation is empty");
  const std::string name = "reservations/" + bare;
  if (IsHex(bare) && bare.size() == kSandboxIdLength) return name;
  ASSIGN_OR_RETURN(const std::vector<pb::Reservation> all, client.ListReservations());
  std::vector<std::string> candidates;
  for (const pb::Reservation& one : all) {
    // A whole name wins over the start of an id.
    if (one.sandbox().spec().display_name() == bare) return one.name();
    if (one.name().starts_with(name)) candidates.push_back(one.name());
  }
  return OnlyOne(bare, candidates,
                 MakeError(StatusCode::kNotFound, StrCat("there is no reservation '", bare, "'"),
                           {.reason = "RESERVATION_NOT_FOUND"}));
}

std::string TenantName(std::string_view typed) {
  return StrCat("tenants/", StripPrefix(typed, "tenants/"));
}

}  // namespace claw::ctl
