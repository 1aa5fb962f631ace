#pragma once

#include "agent/base/status.h"
#include "agent/model/tenant.h"

namespace claw::policy {

// What a tenant's sandboxes hold on this node, or one more would.
struct QuotaUse {
  int64_t sandboxes = 0;
  int64_t workload_bytes = 0;
  int64_t cpu_millis = 0;
};

// Whether a tenant that holds `used` may have `more` as well. RESOURCE_EXHAUSTED, reason
// QUOTA_EXCEEDED, with the quota's field as the constraint; INVALID_ARGUMENT, reason CPU_UNBOUNDED,
// when the tenant has a quota of CPU and the sandbox no ceiling. Pure; arithmetic saturates.
Status CheckQuota(const Tenant& tenant, const QuotaUse& used, const QuotaUse& more);

}  // namespace claw::policy
