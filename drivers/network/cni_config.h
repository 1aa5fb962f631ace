#pragma once

// What the CNI plugins are told and what they answer, as JSON. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "drivers/network/network.h"
#include "drivers/network/subnets.h"

namespace claw::network {

// The configurations. `result` is what the plugin before has answered; empty: there is none.
std::string LoopbackConfig();
std::string BridgeConfig(const NetworkConfig& config, const Subnet& subnet);
std::string PortmapConfig(const NetworkConfig& config, const std::vector<PortMapping>& ports,
                          std::string_view result);

// What the bridge plugin's answer says, as far as the plugins behind it look at it.
std::string ResultText(const NetworkAttachment& attachment);

// What the bridge plugin has made. INTERNAL for anything but a whole answer.
StatusOr<NetworkAttachment> ParseBridgeResult(std::string_view result, bool ipv6);

// Of what a plugin prints when it has failed, the message alone.
std::string CniErrorMessage(std::string_view printed);
// That message is the allocator's: there is no address left in its range.
bool IsExhausted(std::string_view message);

}  // namespace claw::network
