#pragma once

#include "agent/rpc/context.h"
#include "agent/rpc/streams.h"
#include "claw/node/v1/sandbox.pb.h"

namespace claw::rpc {

// AttachSandbox and ExecSandbox, from the first message to the exit status.

Task<Status> AttachSandbox(const Context& context, Source<node::v1::AttachRequest>& source,
                           Sink<node::v1::AttachResponse>& sink);

Task<Status> ExecSandbox(const Context& context, Source<node::v1::ExecRequest>& source,
                         Sink<node::v1::AttachResponse>& sink);

}  // namespace claw::rpc
