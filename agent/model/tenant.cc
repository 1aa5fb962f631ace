#include "agent/model/tenant.h"

#include <algorithm>

#include "agent/base/strings.h"
#include "agent/model/resources.h"
#include "agent/model/validate.h"

namespace claw {
namespace {

constexpr int64_t kMaxSandboxes = 1'000'000;

bool IsLower(char c) { return c >= 'a' && c <= 'z'; }

bool IsDigest(std::string_view text) {
  return text.size() == 71 && text.starts_with("sha256:") &&
         text.find_first_not_of("0123456789abcdef", 7) == std::string_view::npos;
}

Status ValidateAllowedImages(const std::vector<std::string>& allowed) {
  if (allowed.size() > 1000) return BadValue("allowed_images", "has more than 1000 entries");
  for (const std::string& entry : allowed) {
    if (IsDigest(entry)) continue;
    if (!entry.starts_with("signer:")) {
      return BadValue("allowed_images",
                      "has an entry that is neither a digest (sha256:…) nor signer:NAME");
    }
    RETURN_IF_ERROR(ValidateName("allowed_images", entry.substr(7)));
  }
  return absl::OkStatus();
}

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

Status ValidateTenant(const Tenant& tenant) {
  RETURN_IF_ERROR(ValidateName("tenant_id", tenant.name));
  const TenantQuota& quota = tenant.quota;
  RETURN_IF_ERROR(ValidateRange("quota.sandboxes", quota.sandboxes, 0, kMaxSandboxes, ""));
  RETURN_IF_ERROR(
      ValidateRange("quota.workload_bytes", quota.workload_bytes, 0, kMaxWorkloadBytes, " bytes"));
  RETURN_IF_ERROR(ValidateRange("quota.cpu_millis", quota.cpu_millis, 0, kMaxCpuMillis, " millis"));
  RETURN_IF_ERROR(ValidateLabels(tenant.labels));
  RETURN_IF_ERROR(ValidateAllowedImages(tenant.allowed_images));
  if (tenant.network_policy.empty()) return absl::OkStatus();
  return ValidateName("network_policy", tenant.network_policy);
}

}  // namespace claw
