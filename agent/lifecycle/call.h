#pragma once

#include <cstdint>
#include <string>

namespace claw::lifecycle {

// What a caller believes about the node. A call that is wrong about it is refused before it does
// anything: what the caller decided on is no longer there.
struct Fence {
  std::string boot_id{};      // of the machine's boot; empty: any
  std::string incarnation{};  // of the agent process; empty: any
  int64_t generation = 0;     // of the controller (its term); lower than one seen before is stale
};

// The call behind a change: what it may be repeated by, and who made it.
struct Call {
  std::string request_id{};     // empty: the call is not remembered
  std::string actor = "agent";  // "unix:root(0)"; "agent": the agent itself
  Fence fence{};
};

}  // namespace claw::lifecycle
