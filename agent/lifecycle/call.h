#pragma once

#include <string>

namespace claw::lifecycle {

// The call behind a change: what it may be repeated by, and who made it.
struct Call {
  std::string request_id{};     // empty: the call is not remembered
  std::string actor = "agent";  // "unix:root(0)"; "agent": the agent itself
};

}  // namespace claw::lifecycle
