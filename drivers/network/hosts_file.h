#pragma once

// What sandboxes see at /etc/hosts and /etc/resolv.conf. Pure.

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "drivers/network/network.h"

namespace claw::network {

// The names that the rules of a plan allow.
std::set<std::string> NamesOf(const NetworkPlan& plan);
// Whether it may ask the node's DNS servers: if every layer lets it.
bool AsksDns(const NetworkPlan& plan);

// With each name that is allowed stand the addresses that the rules let through, so that a program
// finds exactly those. Before it is connected the attachment is empty.
std::string HostsText(
    const NetworkPlan& plan, const NetworkAttachment& attachment,
    const std::function<std::vector<IpAddress>(const std::string& name)>& addresses);
std::string ResolvConfText(const NetworkConfig& config, const NetworkPlan& plan);

}  // namespace claw::network
