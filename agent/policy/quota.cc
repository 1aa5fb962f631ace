#include "agent/policy/quota.h"

#include <algorithm>
#include <string>

#include "agent/base/bytes.h"
#include "agent/base/strings.h"

namespace claw::policy {
namespace {

using Show = std::string (*)(int64_t);

std::string Plain(int64_t value) { return StrCat(value); }

Status CheckOne(const Tenant& tenant, std::string_view field, int64_t quota, int64_t used,
                int64_t more, Show show) {
  if (quota <= 0 || SaturatingAdd(used, more) <= quota) return absl::OkStatus();
  const int64_t left = std::max<int64_t>(0, SaturatingSub(quota, used));
  return MakeError(StatusCode::kResourceExhausted,
                   StrCat("tenant '", tenant.name, "' has a quota of ", show(quota), " for ", field,
                          " on this node, of which ", show(left), " are left"),
                   {.reason = "QUOTA_EXCEEDED",
                    .constraint = StrCat("quota.", field),
                    .needed = show(more),
                    .available = show(left)});
}

}  // namespace

Status CheckQuota(const Tenant& tenant, const QuotaUse& used, const QuotaUse& more) {
  const TenantQuota& quota = tenant.quota;
  RETURN_IF_ERROR(
      CheckOne(tenant, "sandboxes", quota.sandboxes, used.sandboxes, more.sandboxes, Plain));
  RETURN_IF_ERROR(CheckOne(tenant, "workload_bytes", quota.workload_bytes, used.workload_bytes,
                           more.workload_bytes, FormatBytes));
  if (quota.cpu_millis > 0 && more.cpu_millis <= 0) {
    return MakeError(StatusCode::kInvalidArgument,
                     StrCat("tenant '", tenant.name,
                            "' has a quota of CPU, so each of its sandboxes needs a ceiling: say "
                            "cpu_millis (clawctl: --cpus)"),
                     {.reason = "CPU_UNBOUNDED", .constraint = "cpu_millis"});
  }
  return CheckOne(tenant, "cpu_millis", quota.cpu_millis, used.cpu_millis, more.cpu_millis, Plain);
}

}  // namespace claw::policy
