#pragma once

#include <string_view>

#include "agent/base/status.h"

namespace claw {

// What an agent is for: a machine of its own, or a VM that another agent has started and decides
// about.
enum class NodeRole { kHost, kGuest };

std::string_view ToString(NodeRole role);  // "host", "guest"
StatusOr<NodeRole> ParseNodeRole(std::string_view text);

}  // namespace claw
