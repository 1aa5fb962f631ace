#pragma once

#include "agent/host/mac_facts.h"

namespace claw::host {

// As the kernel says them now; names that it does not know are left out.
Sysctls ReadMacSysctls();

StatusOr<MacPages> ReadMacPages();

}  // namespace claw::host
