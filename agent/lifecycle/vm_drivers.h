#pragma once

#include <array>
#include <string>

#include "agent/lifecycle/vms.h"
#include "drivers/guest/vm_driver.h"

namespace claw::lifecycle {

// What runs sandboxes in one VM, for each class that a guest can give.
struct Node::Vms::Drivers {
  explicit Drivers(const std::string& vm)
      : runc(vm, IsolationClass::kContainer), gvisor(vm, IsolationClass::kGvisor) {}

  std::array<drivers::VmDriver*, 2> all() { return {&runc, &gvisor}; }

  drivers::VmDriver runc;
  drivers::VmDriver gvisor;
};

}  // namespace claw::lifecycle
