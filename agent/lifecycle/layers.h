#pragma once

#include <vector>

#include "agent/base/strings.h"
#include "agent/model/sandbox.h"
#include "agent/policy/network.h"
#include "drivers/network/network.h"

namespace claw::lifecycle {

// Whether a sandbox that is connected may be under these policies from now on, as when it was made.
// One that has ended keeps its rules until it is taken apart, and is asked nothing.
inline Status CheckLayers(const Sandbox& sandbox,
                          const std::vector<network::NetworkPlan::Layer>& layers) {
  if (IsTerminal(sandbox.state)) return absl::OkStatus();
  std::vector<NetworkPolicy> policies;
  for (const network::NetworkPlan::Layer& layer : layers) policies.push_back(layer.policy);
  const Status status = policy::CheckNetwork(sandbox.network_mode, sandbox.isolation, policies);
  return status.ok() ? status : Annotate(status, StrCat("sandbox ", sandbox.id));
}

}  // namespace claw::lifecycle
