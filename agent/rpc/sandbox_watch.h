#pragma once

#include "agent/rpc/context.h"
#include "agent/rpc/streams.h"
#include "claw/node/v1/sandbox.pb.h"

namespace claw::rpc {

Task<Status> WatchSandboxes(const Context& context, const node::v1::WatchSandboxesRequest& request,
                            Sink<node::v1::SandboxChange>& sink);

}  // namespace claw::rpc
