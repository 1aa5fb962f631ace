#pragma once

#include <vector>

#include "agent/base/status.h"
#include "agent/model/isolation.h"
#include "agent/model/network.h"
#include "agent/model/tenant.h"

namespace claw::policy {

// How a sandbox is connected that was asked for so. Without a word it is not, unless its tenant is
// trusted and has a policy that says what for.
NetworkMode DecideNetwork(const NetworkSpec& spec, const Tenant& tenant);

// Whether a sandbox of this class may be connected under these policies, all of which have to allow
// what is to pass. FAILED_PRECONDITION, reason ALLOW_LIST_REQUIRED: legacy code shares the host's
// kernel, so each policy together with the others has to name whom it may call; "anybody" is no
// name.
Status CheckNetwork(NetworkMode mode, IsolationClass isolation,
                    const std::vector<NetworkPolicy>& policies);

// "egress 10.0.0.0/8:443/tcp was added, dns is allowed": for a person. Empty: they are the same.
std::string DescribeChange(const NetworkPolicy& before, const NetworkPolicy& after);

}  // namespace claw::policy
