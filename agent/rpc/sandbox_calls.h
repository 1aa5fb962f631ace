#pragma once

#include <google/protobuf/empty.pb.h>

#include "agent/rpc/context.h"
#include "agent/rpc/streams.h"
#include "claw/node/v1/sandbox.pb.h"

namespace claw::rpc {

// SandboxService without gRPC. The streams that have more to them have files of their own.

Task<StatusOr<node::v1::Sandbox>> CreateSandbox(const Context& context,
                                                const node::v1::CreateSandboxRequest& request,
                                                const std::string& actor);
Task<StatusOr<node::v1::Sandbox>> GetSandbox(const Context& context,
                                             const node::v1::GetSandboxRequest& request);
Task<StatusOr<node::v1::ListSandboxesResponse>> ListSandboxes(
    const Context& context, const node::v1::ListSandboxesRequest& request);
Task<StatusOr<node::v1::Sandbox>> StopSandbox(const Context& context,
                                              const node::v1::StopSandboxRequest& request,
                                              const std::string& actor);
Task<StatusOr<google::protobuf::Empty>> SignalSandbox(const Context& context,
                                                      const node::v1::SignalSandboxRequest& request,
                                                      const std::string& actor);
Task<StatusOr<google::protobuf::Empty>> DeleteSandbox(const Context& context,
                                                      const node::v1::DeleteSandboxRequest& request,
                                                      const std::string& actor);
Task<StatusOr<node::v1::Sandbox>> WaitSandbox(const Context& context,
                                              const node::v1::WaitSandboxRequest& request);
Task<StatusOr<node::v1::ListSandboxStatsResponse>> ListSandboxStats(
    const Context& context, const node::v1::ListSandboxStatsRequest& request);
Task<Status> StreamLogs(const Context& context, const node::v1::StreamLogsRequest& request,
                        Sink<node::v1::LogChunk>& sink);

}  // namespace claw::rpc
