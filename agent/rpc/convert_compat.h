#pragma once

#include "agent/lifecycle/node.h"
#include "agent/model/compat.h"
#include "claw/node/v1/compat.pb.h"

namespace claw::rpc {

namespace pb = ::claw::node::v1;

// Defaults filled in, and every probe validated.
StatusOr<CompatTestSpec> FromProto(const pb::TestImageRequest& request);
// Without the giver and the times.
StatusOr<CompatOverride> FromProto(const pb::CreateOverrideRequest& request);

pb::Verdict ToProto(const CompatVerdict& verdict, bool stale);
pb::Override ToProto(const CompatOverride& value);

}  // namespace claw::rpc
