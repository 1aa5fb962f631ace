#pragma once

#include <grpcpp/support/status.h>

#include "agent/base/status.h"
#include "agent/rpc/context.h"
#include "claw/node/v1/common.pb.h"

namespace claw::rpc {

// The one place where an error becomes gRPC's: the code, the message, and RpcStatus with one
// ErrorDetail as the details. Cut so that it fits the 8 KiB which gRPC allows for trailers.
grpc::Status ToGrpc(const Status& status);

// The same as a message, for answers that hold errors.
node::v1::RpcStatus ToRpcStatus(const Status& status);

void SetDuration(std::chrono::milliseconds value, google::protobuf::Duration* out);

// UTF-8, at most 200 bytes: for texts in the details of an error.
std::string Shorten(std::string_view text);

// The error with one more message in its details: at most 2 KiB of it.
Status WithMessage(const Status& status, const google::protobuf::Message& message);

// ToGrpc; tells the log of faults that are the node's own.
grpc::Status Report(const Context& context, const Status& status);

}  // namespace claw::rpc
