#include "vm/libvirt_machines.h"

namespace claw::vm {
namespace {

Status None() {
  return MakeError(StatusCode::kFailedPrecondition, "this clawlet was built without VMs",
                   {.reason = "VM_UNSUPPORTED"});
}

class NoMachines final : public Machines {
 public:
  void Listen(Listener /*listener*/) override {}
  StatusOr<HypervisorFacts> Connect() override { return None(); }
  StatusOr<GuestImageFacts> CheckImage() override { return None(); }
  StatusOr<Booted> Boot(const Vm& /*vm*/) override { return None(); }
  Status PullPlug(const std::string& /*name*/) override { return None(); }
  Status Suspend(const std::string& /*name*/) override { return None(); }
  Status Resume(const std::string& /*name*/) override { return None(); }
  Status Remove(const std::string& /*name*/) override { return None(); }
  StatusOr<std::vector<MachineState>> List() override { return None(); }
  StatusOr<MachineMemory> GetMemory(const std::string& /*name*/) override { return None(); }
  Status SetBalloon(const std::string& /*name*/, int64_t /*bytes*/) override { return None(); }
  StatusOr<GuestCredentials> ReadCredentials(const std::string& /*name*/) override {
    return None();
  }
  std::filesystem::path ConsolePath(const std::string& /*name*/) const override { return {}; }
};

}  // namespace

std::unique_ptr<Machines> MakeLibvirtMachines(MachinesOptions /*options*/, const Clock& /*clock*/) {
  return std::make_unique<NoMachines>();
}

}  // namespace claw::vm
