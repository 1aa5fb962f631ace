#pragma once

#include <cstdint>

namespace claw {

// What the machine still has of what sandboxes share without a ledger.
struct HostRoom {
  int64_t free_disk_bytes = 0;  // for ordinary users, where sandboxes keep their files
  int64_t free_tasks = 0;       // that the kernel would still make
};

}  // namespace claw
