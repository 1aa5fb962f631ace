#pragma once

#include <vector>

#include "agent/app/config_keys.h"
#include "drivers/network/network.h"

namespace claw {

// The keys of [network].
void AddNetworkKeys(std::vector<ConfigKey>& keys);

// What they say. `resolv_conf`: the content of the host's, for what they leave to it; a resolver on
// the host's loopback serves the agent, and sandboxes cannot reach it. INVALID_ARGUMENT for what
// does not go together.
StatusOr<network::NetworkConfig> MakeNetworkConfig(const Config& config,
                                                   std::string_view resolv_conf);

}  // namespace claw
