#pragma once

#include <string>
#include <string_view>

#include "agent/base/status.h"
#include "agent/model/compat.h"
#include "agent/model/image.h"
#include "agent/model/network.h"
#include "agent/model/node_state.h"
#include "agent/model/overhead.h"
#include "agent/model/sandbox.h"
#include "agent/model/tenant.h"
#include "agent/model/usage.h"
#include "agent/model/vm.h"

namespace claw {

// How records are written to disk. Unknown fields are ignored, so that an older agent reads what a
// newer one wrote; missing fields take their defaults; a wrong type or an unknown enum value is
// DATA_LOSS.
std::string ToJson(const Tenant& tenant);
std::string ToJson(const Sandbox& sandbox);
std::string ToJson(const Image& image);
std::string ToJson(const CompatVerdict& verdict);
std::string ToJson(const CompatOverride& value);
std::string ToJson(const OverheadRecord& record);
std::string ToJson(const TenantUsage& usage);
std::string ToJson(const NodeState& state);
std::string ToJson(const Vm& vm);
std::string ToJson(const NetworkPolicy& policy);  // part of records; not read by itself
std::string ToJson(const NamedNetworkPolicy& named);

StatusOr<Tenant> TenantFromJson(std::string_view text);
StatusOr<Sandbox> SandboxFromJson(std::string_view text);
StatusOr<Image> ImageFromJson(std::string_view text);
StatusOr<CompatVerdict> CompatVerdictFromJson(std::string_view text);
StatusOr<CompatOverride> CompatOverrideFromJson(std::string_view text);
StatusOr<OverheadRecord> OverheadRecordFromJson(std::string_view text);
StatusOr<TenantUsage> TenantUsageFromJson(std::string_view text);
StatusOr<NodeState> NodeStateFromJson(std::string_view text);
StatusOr<Vm> VmFromJson(std::string_view text);
StatusOr<NamedNetworkPolicy> NamedNetworkPolicyFromJson(std::string_view text);

}  // namespace claw
