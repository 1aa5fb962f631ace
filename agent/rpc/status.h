#pragma once

#include <grpcpp/support/status.h>

#include "agent/base/status.h"
#include "agent/rpc/context.h"

namespace claw::rpc {

// The one place where an error becomes gRPC's: the code, the message, and RpcStatus with one
// ErrorDetail as the details. Cut so that it fits the 8 KiB which gRPC allows for trailers.
grpc::Status ToGrpc(const Status& status);

// ToGrpc; tells the log of faults that are the node's own.
grpc::Status Report(const Context& context, const Status& status);

}  // namespace claw::rpc
