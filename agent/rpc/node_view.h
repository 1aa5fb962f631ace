#pragma once

#include "agent/rpc/context.h"
#include "agent/rpc/streams.h"
#include "claw/node/v1/node.pb.h"
#include "claw/node/v1/placement.pb.h"

namespace claw::rpc {

// The node as it stands, and as a target.
node::v1::Node ShowNode(const Context& context);
node::v1::Target ShowTarget(const Context& context);
node::v1::Target ShowTarget(const placement::Target& target);  // a VM

Task<Status> WatchNode(const Context& context, const node::v1::WatchNodeRequest& request,
                       Sink<node::v1::NodeChange>& sink);

}  // namespace claw::rpc
