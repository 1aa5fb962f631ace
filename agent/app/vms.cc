#include "agent/app/vm_keys.h"
#include "agent/base/strings.h"
#include "drivers/guest/guest_link.h"
#include "vm/libvirt_machines.h"

namespace claw {

namespace {

// What is decided in a guest is decided by the host's rules.
std::string PolicyOf(const Config& config) {
  const auto word = [](bool value) { return value ? "true" : "false"; };
  return StrCat("[policy]\ntrusted_class = \"", ToString(config.trusted_class),
                "\"\naccept_degraded = ", word(config.accept_degraded),
                "\nallow_overrides = ", word(config.allow_overrides),
                "\nrequire_signer = ", word(config.require_signer),
                "\ncompat_baseline = ", word(config.compat_baseline), "\n");
}

}  // namespace

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
                                           .folder = config.state_dir / "vms",
                                           .guest_config = PolicyOf(config)},
                                          clock);
  deps.dial = drivers::MakeDialGuest(agent_version);
  return deps;
}

}  // namespace claw
