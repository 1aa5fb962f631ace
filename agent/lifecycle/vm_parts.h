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
  int64_t most = 0;  // VMs at a time; 0: as memory allows
  // Of the hypervisor's process, charged beside a guest's memory until it has been measured.
  int64_t overhead_bytes = 0;
  int64_t memory_floor_bytes = kMinVmMemoryBytes;  // no balloon leaves a guest less
  // From the boot to the first answer of the guest's agent.
  std::chrono::milliseconds start_timeout = std::chrono::seconds(60);
  std::chrono::milliseconds stop_grace = std::chrono::seconds(30);
  // How often a guest is looked at while it runs.
  std::chrono::milliseconds look_interval = std::chrono::seconds(5);
  // VMs that come because a sandbox needs one, at most; 0: none do.
  int64_t pool = 1;
  // One of those that has had nothing in it for so long is stopped.
  std::chrono::milliseconds idle_time = std::chrono::minutes(10);
  // How long guests may take to give back what somebody waits for, and how long a balloon that has
  // been moved is left where it is.
  std::chrono::milliseconds balloon_timeout = std::chrono::seconds(5);
  std::chrono::milliseconds balloon_rest = std::chrono::seconds(30);
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
