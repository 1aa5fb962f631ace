#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/model/vm.h"
#include "drivers/guest/guest.h"
#include "vm/machines.h"

namespace claw::lifecycle {

struct VmRules {
  VmSpec defaults{};
  int64_t most = 0;            // VMs at a time; 0: as memory allows
  int64_t overhead_bytes = 0;  // of the hypervisor's process, charged beside a guest's memory
  // From the boot to the first answer of the guest's agent.
  std::chrono::milliseconds start_timeout = std::chrono::seconds(60);
  std::chrono::milliseconds stop_grace = std::chrono::seconds(30);
  // How often a guest is looked at while it runs.
  std::chrono::milliseconds look_interval = std::chrono::seconds(5);
};

// Nothing of a VM is possible without these two.
struct VmDeps {
  std::unique_ptr<vm::Machines> machines{};  // null: the config does not turn VMs on
  drivers::DialGuest dial{};
};

struct VmView {
  Vm vm{};
  std::string domain_type{};
  bool emulated = false;
  bool image_outdated = false;
  std::optional<drivers::GuestLook> guest{};  // absent: it does not answer
  vm::MachineMemory memory{};
};

}  // namespace claw::lifecycle
