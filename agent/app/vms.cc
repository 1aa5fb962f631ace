#include "agent/app/vm_keys.h"
#include "drivers/guest/guest_link.h"
#include "vm/libvirt_machines.h"

namespace claw {

lifecycle::VmDeps MakeVmDeps(const Config& config, const std::string& agent_version,
                             const Clock& clock) {
  lifecycle::VmDeps deps;
  if (!config.vm.enabled) return deps;
  deps.machines = vm::MakeLibvirtMachines({.uri = config.vm.uri,
                                           .private_root = config.run_dir / "vm",
                                           .owner = InstanceName(config.state_dir),
                                           .type = config.vm.type,
                                           .emulator = config.vm.emulator,
                                           .image = config.vm.image,
                                           .folder = config.state_dir / "vms"},
                                          clock);
  deps.dial = drivers::MakeDialGuest(agent_version);
  return deps;
}

}  // namespace claw
