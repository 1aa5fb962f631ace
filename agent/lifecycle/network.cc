#include "agent/lifecycle/node.h"

// A stand-in, so that what is built on it links: the branch `net` has the real one.

namespace claw::lifecycle {

Task<StatusOr<Sandbox>> Node::SetSandboxNetwork(Call /*call*/, std::string /*name*/,
                                                std::optional<NetworkPolicy> /*policy*/) {
  co_return Unimplemented("SetSandboxNetwork is not there yet");
}

Task<StatusOr<std::vector<NetworkView>>> Node::ShowNetworks(std::string /*name*/) {
  co_return Unimplemented("ShowNetworks is not there yet");
}

}  // namespace claw::lifecycle
