#pragma once

#include "agent/config.h"
#include "agent/lifecycle/node.h"

namespace claw {

// What an operator has set, as the node takes it. INVALID_ARGUMENT for what does not fit this
// machine. Pure.
StatusOr<lifecycle::NodeConfig> MakeNodeConfig(const Config& config, const host::HostInfo& host);

}  // namespace claw
