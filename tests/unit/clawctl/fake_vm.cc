#include "claw/node/v1/vm.grpc.pb.h"
#include "tests/unit/clawctl/fake_parts.h"

namespace claw::ctl::testing {
namespace {

using google::protobuf::Empty;
using grpc::ServerContext;
using Lock = std::unique_lock<std::mutex>;

class VmFake final : public pb::VmService::Service {
 public:
  explicit VmFake(FakeState& state) : state_(state) {}

  grpc::Status ListVms(ServerContext* /*context*/, const pb::ListVmsRequest* /*request*/,
                       pb::ListVmsResponse* response) override {
    const Lock lock(state_.mutex);
    for (const pb::Vm& vm : state_.vms) *response->add_vms() = vm;
    return grpc::Status::OK;
  }
  grpc::Status GetVm(ServerContext* /*context*/, const pb::GetVmRequest* request,
                     pb::Vm* response) override {
    return With(request->name(), response, [](pb::Vm&) {});
  }
  grpc::Status CreateVm(ServerContext* /*context*/, const pb::CreateVmRequest* request,
                        pb::Vm* response) override {
    const Lock lock(state_.mutex);
    state_.vm_creates.push_back(*request);
    if (auto refused = Refuse(state_, request->request_id())) return *refused;
    response->set_name("vms/" + request->spec().display_name());
    *response->mutable_spec() = request->spec();
    response->set_state(pb::VM_STATE_STOPPED);
    if (!request->validate_only()) state_.vms.push_back(*response);
    return grpc::Status::OK;
  }
  grpc::Status StartVm(ServerContext* /*context*/, const pb::StartVmRequest* request,
                       grpc::ServerWriter<pb::VmProgress>* writer) override {
    pb::VmProgress progress;
    for (const char* step : {"booting (qemu)", "waiting for the guest's agent"}) {
      progress.set_message(step);
      writer->Write(progress);
    }
    const grpc::Status status =
        Change(request->name(), request->request_id(), progress.mutable_vm(), pb::VM_STATE_RUNNING);
    if (status.ok()) writer->Write(progress);
    return status;
  }
  grpc::Status StopVm(ServerContext* /*context*/, const pb::StopVmRequest* request,
                      pb::Vm* response) override {
    {
      const Lock lock(state_.mutex);
      state_.vm_stops.push_back(*request);
    }
    return Change(request->name(), request->request_id(), response, pb::VM_STATE_STOPPED);
  }
  grpc::Status RestartGuestAgent(ServerContext* /*context*/,
                                 const pb::RestartGuestAgentRequest* request,
                                 pb::Vm* response) override {
    {
      const Lock lock(state_.mutex);
      state_.agent_restarts.push_back(*request);
    }
    return Change(request->name(), request->request_id(), response, pb::VM_STATE_RUNNING);
  }
  grpc::Status SuspendVm(ServerContext* /*context*/, const pb::SuspendVmRequest* request,
                         pb::Vm* response) override {
    return Change(request->name(), request->request_id(), response, pb::VM_STATE_SUSPENDED);
  }
  grpc::Status DrainVm(ServerContext* /*context*/, const pb::DrainVmRequest* request,
                       pb::Vm* response) override {
    return With(request->name(), response, [&](pb::Vm& vm) {
      vm.mutable_cordon()->set_reason("is drained: " + request->reason());
    });
  }
  grpc::Status CordonVm(ServerContext* /*context*/, const pb::CordonVmRequest* request,
                        pb::Vm* response) override {
    return With(request->name(), response, [&](pb::Vm& vm) {
      vm.clear_cordon();
      if (request->cordoned()) vm.mutable_cordon()->set_reason(request->reason());
    });
  }
  grpc::Status DeleteVm(ServerContext* /*context*/, const pb::DeleteVmRequest* request,
                        Empty* /*response*/) override {
    const Lock lock(state_.mutex);
    state_.forced = request->force();
    const auto gone =
        std::erase_if(state_.vms, [&](const auto& vm) { return vm.name() == request->name(); });
    return gone != 0 ? grpc::Status::OK : NoVm();
  }
  grpc::Status StreamConsole(ServerContext* /*context*/, const pb::StreamConsoleRequest* request,
                             grpc::ServerWriter<pb::ConsoleChunk>* writer) override {
    for (const char* part : {"clawguest: Linux", " 6.1\r\n"}) {
      pb::ConsoleChunk chunk;
      chunk.set_data(request->tail_bytes() > 0 ? "tail\n" : part);
      writer->Write(chunk);
    }
    return grpc::Status::OK;
  }
  grpc::Status GetGuestImage(ServerContext* /*context*/,
                             const pb::GetGuestImageRequest* /*request*/,
                             pb::GuestImage* response) override {
    response->set_digest("sha256:abc");
    response->set_kernel_version("6.1.0");
    pb::GuestImage::Package* package = response->add_packages();
    package->set_name("runsc");
    package->set_version("0.0~2022");
    return grpc::Status::OK;
  }

 private:
  static grpc::Status NoVm() {
    pb::ErrorDetail detail;
    detail.set_reason("VM_NOT_FOUND");
    return ToGrpc({grpc::StatusCode::NOT_FOUND, "there is no such VM", detail});
  }
  template <typename Do>
  grpc::Status With(const std::string& name, pb::Vm* response, Do change) {
    const Lock lock(state_.mutex);
    for (pb::Vm& vm : state_.vms) {
      if (vm.name() != name) continue;
      change(vm);
      *response = vm;
      return grpc::Status::OK;
    }
    return NoVm();
  }
  grpc::Status Change(const std::string& name, const std::string& request_id, pb::Vm* response,
                      pb::VmState state) {
    {
      const Lock lock(state_.mutex);
      if (auto refused = Refuse(state_, request_id)) return *refused;
    }
    return With(name, response, [state](pb::Vm& vm) { vm.set_state(state); });
  }

  FakeState& state_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeVmFake(FakeState& state) {
  return std::make_unique<VmFake>(state);
}

}  // namespace claw::ctl::testing
