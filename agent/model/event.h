#pragma once

#include <cstdint>
#include <string>

#include "agent/base/clock.h"

namespace claw {

// Something that happened on the node, in order.
struct Event {
  int64_t revision = 0;  // given on the agent's strand; ascending without reuse, with gaps
  Time time{};
  std::string type{};     // "sandbox.running", "image.pulled", "store.quarantined", …
  std::string subject{};  // resource name: "sandboxes/…", "tenants/…", "images/…", "node"
  std::string tenant{};   // name, or empty
  std::string message{};  // one sentence for a person
  std::string actor{};    // who caused it; "agent" for the agent itself, empty in old records

  bool operator==(const Event&) const = default;
};

}  // namespace claw
