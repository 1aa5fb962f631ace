#pragma once

#include <cstdint>
#include <string>

#include "agent/base/clock.h"

namespace claw {

// What the node remembers of itself over restarts.
struct NodeState {
  // Nothing new comes to a node that is cordoned; what runs goes on.
  bool cordoned = false;
  std::string cordon_reason{};  // in the words of who did it
  std::string cordoned_by{};    // identity of the caller
  Time cordoned_at{};
  // The highest generation that a controller has named: an older controller is refused.
  int64_t controller_generation = 0;

  bool operator==(const NodeState&) const = default;
};

constexpr size_t kMaxCordonReasonBytes = 512;

}  // namespace claw
