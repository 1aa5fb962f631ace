#pragma once

#include "agent/rpc/context.h"
#include "agent/rpc/streams.h"
#include "claw/node/v1/guest.pb.h"

namespace claw::rpc {

// GuestService.PutImage without gRPC: an image from the host, unpacked as it comes and no faster.
// What is here already, or cannot be taken, is answered without reading the rest.
Task<StatusOr<node::v1::Image>> PutImage(const Context& context,
                                         Source<node::v1::PutImageRequest>& source,
                                         const std::string& actor);

}  // namespace claw::rpc
