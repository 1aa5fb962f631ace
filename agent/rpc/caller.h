#pragma once

#include <grpcpp/server_context.h>

#include <string>

namespace claw::rpc {

// Who is at the other end of a call: "unix:NAME(UID)" as the kernel says, or "tls:NAME" as its
// certificate says. Never what the caller says of itself. To be asked when the call comes in, on
// gRPC's thread, while its connection is open. "unknown" if it has been closed by then.
std::string CallerIdentity(const grpc::CallbackServerContext& call);

}  // namespace claw::rpc
