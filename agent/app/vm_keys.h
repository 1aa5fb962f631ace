#pragma once

#include <memory>
#include <vector>

#include "agent/app/config_keys.h"
#include "agent/base/clock.h"
#include "agent/lifecycle/vm_parts.h"

namespace claw {

// The keys of [vm].
void AddVmKeys(std::vector<ConfigKey>& keys);

// What they say.
lifecycle::VmRules MakeVmRules(const Config& config);
// Without machines if they are turned off. `clock` outlives what is made.
lifecycle::VmDeps MakeVmDeps(const Config& config, const std::string& agent_version,
                             const Clock& clock);

}  // namespace claw
