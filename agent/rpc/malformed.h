#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <memory>

namespace claw::rpc {

// gRPC answers a request that protobuf cannot read (bad UTF-8 in a string, garbage) with
// UNIMPLEMENTED and no word. This makes INVALID_ARGUMENT of it, with a reason.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> ExplainMalformedRequests();

}  // namespace claw::rpc
