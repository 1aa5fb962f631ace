#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "agent/base/status.h"

namespace claw::budget {

// Most sandboxes that an administrator allows at a time. 0: no cap.
struct Caps {
  int64_t sandboxes = 0;
  std::map<std::string, int64_t> by_driver{};
};

// Sandboxes that have not ended.
struct Counts {
  int64_t sandboxes = 0;
  std::map<std::string, int64_t> by_driver{};

  int64_t Of(const std::string& driver) const;
};

// Whether one more under this driver is allowed. RESOURCE_EXHAUSTED, reason SANDBOX_CAP.
Status CheckCaps(const Caps& caps, const Counts& counts, const std::string& driver);

// How many more of one class fit, and what binds. Value type.
struct Room {
  int64_t more = 0;
  // As in the detail of the refusal that the one after these would get:
  // "node.memory.allocatable_bytes", "limits.sandboxes", …
  std::string constraint{};

  // Takes a narrower bound.
  void Bound(int64_t at_most, std::string by);
};

// What the caps leave.
void BoundByCaps(const Caps& caps, const Counts& counts, const std::string& driver, Room& room);

}  // namespace claw::budget
