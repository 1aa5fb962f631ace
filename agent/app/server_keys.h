#pragma once

#include <vector>

#include "agent/app/config_keys.h"

namespace claw {

// The keys of [server].
void AddServerKeys(std::vector<ConfigKey>& keys);

// What is wrong with the keys taken together, as a sentence; empty: nothing.
std::string ServerProblem(const Config& config);

}  // namespace claw
