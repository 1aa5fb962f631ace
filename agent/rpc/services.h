#pragma once

#include <grpcpp/impl/service_type.h>

#include <memory>

#include "agent/rpc/context.h"

namespace claw::rpc {

// The gRPC services, one file for each. The context outlives them.
std::unique_ptr<grpc::Service> MakeNodeService(const Context& context);
std::unique_ptr<grpc::Service> MakeTenantService(const Context& context);
std::unique_ptr<grpc::Service> MakeSandboxService(const Context& context);
std::unique_ptr<grpc::Service> MakeNetworkService(const Context& context);
std::unique_ptr<grpc::Service> MakePlacementService(const Context& context);
std::unique_ptr<grpc::Service> MakeImageService(const Context& context);
std::unique_ptr<grpc::Service> MakeCompatService(const Context& context);
std::unique_ptr<grpc::Service> MakeEventService(const Context& context);
std::unique_ptr<grpc::Service> MakeVmService(const Context& context);
// Only for a guest.
std::unique_ptr<grpc::Service> MakeGuestService(const Context& context);

}  // namespace claw::rpc
