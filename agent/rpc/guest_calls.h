#pragma once

#include "agent/rpc/context.h"
#include "claw/node/v1/guest.pb.h"

namespace claw::rpc {

// What GuestService does about sandboxes, without gRPC. Records are checked as whatever a caller
// sends: the host is trusted to decide, not to be free of faults.

Task<StatusOr<node::v1::GuestSandbox>> PrepareSandbox(
    const Context& context, const node::v1::PrepareSandboxRequest& request,
    const std::string& actor);
Task<StatusOr<node::v1::GuestSandbox>> GetGuestSandbox(
    const Context& context, const node::v1::GetGuestSandboxRequest& request);
Task<StatusOr<node::v1::VerdictRecord>> GetVerdictRecord(
    const Context& context, const node::v1::GetVerdictRecordRequest& request);

}  // namespace claw::rpc
