#pragma once

#include <grpcpp/server_context.h>

#include <string>

namespace claw::rpc {

// Who is at the other end of a call, as the kernel says: "unix:NAME(UID)". Never what the caller
// says of itself. To be asked when the call comes in, on gRPC's thread, while its connection is
// open. "unknown" if it has been closed by then.
std::string CallerIdentity(const grpc::ServerContextBase& call);

}  // namespace claw::rpc
