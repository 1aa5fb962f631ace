#include <optional>
#include <utility>

#include "claw/node/v1/vm.grpc.pb.h"
#include "tools/clawctl/client_impl.h"

namespace claw::ctl {
namespace {

// What the agent gives a guest to switch itself off, unless it is told otherwise.
constexpr std::chrono::milliseconds kUsualGrace = std::chrono::seconds(30);

}  // namespace

StatusOr<pb::ListVmsResponse> Client::ListVms() {
  const pb::ListVmsRequest request;
  return CLAW_UNARY(VmService, ListVms, request);
}

StatusOr<pb::Vm> Client::GetVm(const std::string& name) {
  pb::GetVmRequest request;
  request.set_name(name);
  return CLAW_UNARY(VmService, GetVm, request);
}

StatusOr<pb::Vm> Client::CreateVm(pb::CreateVmRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(VmService, CreateVm, request);
}

StatusOr<pb::Vm> Client::StartVm(pb::StartVmRequest request,
                                 const std::function<void(const pb::VmProgress&)>& on_progress) {
  SetRequestId(request);
  const auto stub = pb::VmService::NewStub(impl().channel);
  std::optional<pb::Vm> vm;
  RETURN_IF_ERROR(impl().ServerStream<pb::VmProgress>(
      "StartVm", true,
      [&](grpc::ClientContext* context) { return stub->StartVm(context, request); },
      [&](const pb::VmProgress& progress) {
        on_progress(progress);
        if (progress.has_vm()) vm = progress.vm();
      }));
  if (!vm) return Internal("the agent ended the start without naming the VM");
  return *std::move(vm);
}

StatusOr<pb::Vm> Client::StopVm(pb::StopVmRequest request) {
  SetRequestId(request);
  const std::chrono::milliseconds grace =
      request.has_grace_period()
          ? std::chrono::milliseconds(request.grace_period().seconds() * 1000 +
                                      request.grace_period().nanos() / 1'000'000)
          : kUsualGrace;
  const std::chrono::milliseconds timeout =
      options_.timeout.count() == 0 ? std::chrono::milliseconds(0) : options_.timeout + grace;
  return impl().Unary<pb::VmService>("StopVm", &pb::VmService::Stub::StopVm, request,
                                     impl().After(timeout));
}

StatusOr<pb::Vm> Client::RestartGuestAgent(pb::RestartGuestAgentRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(VmService, RestartGuestAgent, request);
}

StatusOr<pb::Vm> Client::SuspendVm(pb::SuspendVmRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(VmService, SuspendVm, request);
}

StatusOr<pb::Vm> Client::DrainVm(pb::DrainVmRequest request) {
  SetRequestId(request);
  const std::chrono::milliseconds timeout =
      options_.timeout.count() == 0 ? std::chrono::milliseconds(0) : options_.timeout + kUsualGrace;
  return impl().Unary<pb::VmService>("DrainVm", &pb::VmService::Stub::DrainVm, request,
                                     impl().After(timeout));
}

StatusOr<pb::Vm> Client::CordonVm(pb::CordonVmRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(VmService, CordonVm, request);
}

Status Client::DeleteVm(pb::DeleteVmRequest request) {
  SetRequestId(request);
  return CLAW_UNARY(VmService, DeleteVm, request).status();
}

Status Client::StreamConsole(const pb::StreamConsoleRequest& request,
                             const std::function<void(const pb::ConsoleChunk&)>& on_chunk) {
  const auto stub = pb::VmService::NewStub(impl().channel);
  return impl().ServerStream<pb::ConsoleChunk>(
      "StreamConsole", false,
      [&](grpc::ClientContext* context) { return stub->StreamConsole(context, request); },
      on_chunk);
}

StatusOr<pb::GuestImage> Client::GetGuestImage() {
  const pb::GetGuestImageRequest request;
  return CLAW_UNARY(VmService, GetGuestImage, request);
}

}  // namespace claw::ctl
