#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"
#include "drivers/network/network.h"
#include "drivers/network/subnets.h"

namespace claw::network {

// Addresses, routes and neighbours, on both ends of a sandbox's interface.

constexpr char kInterface[] = "eth0";  // inside

// The network namespace of a process, which stays the same whatever becomes of the number.
// FAILED_PRECONDITION if it is the one that the agent itself lives in.
StatusOr<UniqueFd> OpenNamespace(int64_t pid);

// Before its interface is made: the namespace does not ask around for seconds whether its address
// is taken.
Status PrepareInside(const UniqueFd& netns);
// Leaves the sandbox its address alone, with all else behind the gateway: there is no neighbour
// that it could reach past the host's rules.
Status RouteThroughHost(const UniqueFd& netns, const Subnet& subnet,
                        const NetworkAttachment& attachment);

// The host's end. A port reaches the bridge itself alone, even without rules; neighbours are fixed,
// so that nobody can claim another's address.
// A bridge that is made before the plugin gives it an address can use that at once.
Status EnsureBridge(const std::string& bridge);
Status HardenBridge(const std::string& bridge);  // if it is there
Status FixPorts(const std::vector<NetworkAttachment>& attachments);
// What is gone already is fine.
Status ForgetNeighbours(const NetworkAttachment& attachment);
Status RemoveInterface(const std::string& name);
// The host's ends down, so that nothing passes, or up again.
Status SetPorts(const std::vector<NetworkAttachment>& attachments, bool up);
// The interfaces on bridges whose name begins so, with the bridge.
StatusOr<std::vector<std::pair<std::string, std::string>>> BridgePorts(const std::string& bridges);
// The addresses of fixed neighbours on bridges whose name begins so, with the bridge.
StatusOr<std::vector<std::pair<std::string, std::string>>> FixedNeighbours(
    const std::string& bridges);

// Turns on that packets are handed on, in this network namespace.
Status EnableForwarding(bool ipv6);

}  // namespace claw::network
