#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "agent/base/clock.h"
#include "vm/machines.h"

namespace claw::vm {

struct MachinesOptions {
  std::string uri{};  // libvirt's; empty: one of the agent's own, below `private_root`
  std::filesystem::path private_root{};
  std::string owner{};               // this agent's instance
  std::string type{};                // "hvf", "kvm", "qemu"; empty: the first that works here
  std::filesystem::path emulator{};  // empty: as libvirt finds it
  std::filesystem::path image{};     // folder of the guest image
  std::filesystem::path folder{};    // of all VMs' files; made with mode 0700
  std::string guest_config{};  // TOML that the configs of agents in guests end with: whole sections
};

// Machines through libvirt; nothing of it is loaded before the first Connect. `clock` outlives it.
// Without support for VMs (CLAW_GUEST_ONLY, as in guests) every call is refused with
// VM_UNSUPPORTED.
std::unique_ptr<Machines> MakeLibvirtMachines(MachinesOptions options, const Clock& clock);

}  // namespace claw::vm
