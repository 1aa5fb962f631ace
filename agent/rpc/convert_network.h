#pragma once

// What convert.h does, for the network.

#include <string_view>

#include "agent/lifecycle/views.h"
#include "agent/model/network.h"
#include "agent/model/sandbox.h"
#include "claw/node/v1/network.pb.h"

namespace claw::rpc {

namespace pb = ::claw::node::v1;

// `field` is where it stands in the request: errors name what is wrong below it. The node checks
// bounds.
StatusOr<NetworkPolicy> FromProto(const pb::NetworkPolicy& policy, std::string_view field);
StatusOr<NetworkSpec> FromProto(const pb::NetworkSpec& spec, std::string_view field);

pb::NetworkPolicy ToProto(const NetworkPolicy& policy);
pb::NetworkSpec ToProto(const NetworkSpec& spec);
pb::NamedNetworkPolicy ToProto(const NamedNetworkPolicy& named);  // without its tenants
pb::NetworkStatus NetworkStatusOf(const Sandbox& sandbox);
pb::SandboxNetwork ToProto(const lifecycle::NetworkView& view);

}  // namespace claw::rpc
