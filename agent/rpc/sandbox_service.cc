#include "agent/rpc/attach.h"
#include "agent/rpc/reactors.h"
#include "agent/rpc/sandbox_calls.h"
#include "agent/rpc/sandbox_watch.h"
#include "agent/rpc/services.h"
#include "claw/node/v1/sandbox.grpc.pb.h"

namespace claw::rpc {
namespace {

namespace pb = node::v1;
using google::protobuf::Empty;
using CallContext = grpc::CallbackServerContext;
using enum WhenCallerLeaves;

// Which call is which coroutine, and what becomes of it when its caller has gone.
class SandboxService final : public pb::SandboxService::CallbackService {
 public:
  explicit SandboxService(const Context& context) : context_(context) {}

  grpc::ServerUnaryReactor* CreateSandbox(CallContext* call,
                                          const pb::CreateSandboxRequest* request,
                                          pb::Sandbox* response) override {
    return Change(context_, *call, request, response, rpc::CreateSandbox);
  }
  grpc::ServerUnaryReactor* GetSandbox(CallContext* /*call*/, const pb::GetSandboxRequest* request,
                                       pb::Sandbox* response) override {
    return Unary(context_, kCancel, request, response, rpc::GetSandbox);
  }
  grpc::ServerUnaryReactor* ListSandboxes(CallContext* /*call*/,
                                          const pb::ListSandboxesRequest* request,
                                          pb::ListSandboxesResponse* response) override {
    return Unary(context_, kCancel, request, response, rpc::ListSandboxes);
  }
  grpc::ServerUnaryReactor* StopSandbox(CallContext* call, const pb::StopSandboxRequest* request,
                                        pb::Sandbox* response) override {
    return Change(context_, *call, request, response, rpc::StopSandbox);
  }
  grpc::ServerUnaryReactor* SignalSandbox(CallContext* call,
                                          const pb::SignalSandboxRequest* request,
                                          Empty* response) override {
    return Change(context_, *call, request, response, rpc::SignalSandbox);
  }
  grpc::ServerUnaryReactor* DeleteSandbox(CallContext* call,
                                          const pb::DeleteSandboxRequest* request,
                                          Empty* response) override {
    return Change(context_, *call, request, response, rpc::DeleteSandbox);
  }
  grpc::ServerUnaryReactor* WaitSandbox(CallContext* /*call*/,
                                        const pb::WaitSandboxRequest* request,
                                        pb::Sandbox* response) override {
    return Unary(context_, kCancel, request, response, rpc::WaitSandbox);
  }
  grpc::ServerUnaryReactor* ListSandboxStats(CallContext* /*call*/,
                                             const pb::ListSandboxStatsRequest* request,
                                             pb::ListSandboxStatsResponse* response) override {
    return Unary(context_, kCancel, request, response, rpc::ListSandboxStats);
  }
  grpc::ServerWriteReactor<pb::SandboxChange>* WatchSandboxes(
      CallContext* /*call*/, const pb::WatchSandboxesRequest* request) override {
    return ServerStream(context_, kCancel, request, rpc::WatchSandboxes);
  }
  grpc::ServerWriteReactor<pb::LogChunk>* StreamLogs(
      CallContext* /*call*/, const pb::StreamLogsRequest* request) override {
    return ServerStream(context_, kCancel, request, rpc::StreamLogs);
  }
  grpc::ServerBidiReactor<pb::AttachRequest, pb::AttachResponse>* AttachSandbox(
      CallContext* /*call*/) override {
    return TwoWayStream(context_, rpc::AttachSandbox);
  }
  grpc::ServerBidiReactor<pb::ExecRequest, pb::AttachResponse>* ExecSandbox(
      CallContext* /*call*/) override {
    return TwoWayStream(context_, rpc::ExecSandbox);
  }

 private:
  const Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeSandboxService(const Context& context) {
  return std::make_unique<SandboxService>(context);
}

}  // namespace claw::rpc
