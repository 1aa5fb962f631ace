#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/model/compat.h"
#include "agent/model/sandbox.h"
#include "agent/model/tenant.h"

namespace claw::placement {

// An image as it is for one architecture, with what is known of it there.
struct ImageChoice {
  std::string digest{};
  std::string family{};                // see SandboxClass
  std::vector<std::string> signers{};  // verified, of those that the config knows
  std::vector<CompatVerdict> verdicts{};
  std::optional<CompatOverride> compat_override{};
};

// One sandbox that wants a place: what was asked for, and all that is known of it wherever it goes.
struct Demand {
  Tenant tenant{};
  SandboxSpec spec{};                           // has passed ValidateSpec
  std::map<std::string, ImageChoice> images{};  // by architecture, as OCI names them
  NetworkMode network = NetworkMode::kNone;
  std::vector<NetworkPolicy> network_policies{};  // all of which have to allow what is to pass
  std::optional<Memory> memory{};  // what it is charged already; absent: what it would cost now
};

}  // namespace claw::placement
