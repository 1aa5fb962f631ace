#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/status.h"
#include "claw/node/v1/compat.grpc.pb.h"
#include "claw/node/v1/guest.grpc.pb.h"
#include "claw/node/v1/node.grpc.pb.h"
#include "claw/node/v1/placement.grpc.pb.h"
#include "claw/node/v1/sandbox.grpc.pb.h"

namespace claw::drivers {

namespace pb = claw::node::v1;

// The services of one guest's agent over one channel. Thread-safe. Shared by all that speaks to the
// guest, so that a stream may outlive whoever opened it.
struct GuestClient {
  explicit GuestClient(const std::shared_ptr<grpc::Channel>& channel)
      : node(pb::NodeService::NewStub(channel)),
        guest(pb::GuestService::NewStub(channel)),
        sandboxes(pb::SandboxService::NewStub(channel)),
        placement(pb::PlacementService::NewStub(channel)),
        compat(pb::CompatService::NewStub(channel)) {}

  const std::unique_ptr<pb::NodeService::Stub> node;
  const std::unique_ptr<pb::GuestService::Stub> guest;
  const std::unique_ptr<pb::SandboxService::Stub> sandboxes;
  const std::unique_ptr<pb::PlacementService::Stub> placement;
  const std::unique_ptr<pb::CompatService::Stub> compat;
};

using GuestClientPtr = std::shared_ptr<GuestClient>;

// Calls that do no more than look something up, or begin something.
constexpr std::chrono::milliseconds kShortCall = std::chrono::seconds(10);
// Calls that start or end programs: under emulation that takes its time.
constexpr std::chrono::milliseconds kLongCall = std::chrono::minutes(5);

// What a guest answered, with its typed detail. UNAVAILABLE, reason GUEST_UNREACHABLE, if it did
// not.
Status FromGuest(const grpc::Status& status, std::string_view doing);

// One call that takes `request` and answers with a message.
template <typename Stub, typename Request, typename Response>
StatusOr<Response> Ask(Stub& stub,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                       const Request& request, std::string_view doing,
                       std::chrono::milliseconds at_most = kShortCall) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + at_most);
  Response response;
  RETURN_IF_ERROR(FromGuest((stub.*method)(&context, request, &response), doing));
  return response;
}

bool HasReason(const Status& status, std::string_view reason);

}  // namespace claw::drivers
