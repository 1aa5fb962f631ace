#include "agent/model/node_role.h"

#include "agent/base/strings.h"

namespace claw {

std::string_view ToString(NodeRole role) { return role == NodeRole::kGuest ? "guest" : "host"; }

StatusOr<NodeRole> ParseNodeRole(std::string_view text) {
  for (const NodeRole role : {NodeRole::kHost, NodeRole::kGuest}) {
    if (ToString(role) == text) return role;
  }
  return InvalidArgument("'", text, "' is no role of a node: host or guest");
}

}  // namespace claw
