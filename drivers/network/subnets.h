#pragma once

// How the node's range is cut into one subnet for each bridge. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "drivers/network/network.h"

namespace claw::network {

struct Subnet {
  std::string bridge{};
  IpPrefix v4{};
  IpAddress gateway4{};  // the host's, on the bridge
  std::optional<IpPrefix> v6{};
  IpAddress gateway6{};
  int64_t room = 0;  // sandboxes: neither the gateway, nor the first nor the last address of v4
};

// At least one. Both ranges are cut alike: the smaller of them says how many there are.
std::vector<Subnet> CutRange(const NetworkConfig& config);

// "10.222.0.2-10.222.3.254": the addresses of sandboxes, without the gateway.
std::string SandboxRange4(const Subnet& subnet);
std::string SandboxRange6(const Subnet& subnet);

}  // namespace claw::network
