#pragma once

#include <string>
#include <vector>

#include "tools/clawctl/client.h"
#include "tools/clawctl/context.h"
#include "tools/clawctl/output.h"

namespace claw::ctl {

// As ParseRule reads it.
std::string RuleText(const pb::NetworkRule& rule);
// "127.0.0.1:8080 -> 80/tcp".
std::string PortText(const pb::PortMapping& port);

// "10.88.0.5, fd00::5"; empty: it is not connected.
std::string AddressText(const pb::NetworkStatus& status, std::string_view separator = ", ");
// "none", or "bridge, 10.88.0.5, veth1a2b at clawlet0".
std::string NetworkText(const pb::NetworkStatus& status);

// What a policy allows, one field for each kind of it.
void AddPolicy(const pb::NetworkPolicy& policy, Fields& fields);

// One line for each thing that differs, "+ to 10.0.0.0/8"; none if nothing does. Not escaped.
std::vector<std::string> PolicyChanges(const pb::NetworkPolicy& before,
                                       const pb::NetworkPolicy& after);

Table PolicyTable(const Context& context, const std::vector<pb::NamedNetworkPolicy>& policies);
Table NetworkTable(const std::vector<pb::SandboxNetwork>& networks);
std::string DescribeNetwork(const Context& context, const pb::SandboxNetwork& network, bool wide);

}  // namespace claw::ctl
