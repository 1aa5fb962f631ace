// How a sandbox is taken off the network, whatever of it is there.

#include "agent/base/strings.h"
#include "drivers/network/cni_config.h"
#include "drivers/network/linux/networks.h"
#include "drivers/network/linux/wiring.h"

namespace claw::network {

Status LinuxNetworks::Detach(const std::string& id) {
  std::string interface;
  {
    const Lock lock(mutex_);
    if (ruleset_.Has(id)) interface = ruleset_.Attachment(id).host_interface;
  }
  // Whoever may still live in there is cut off before the rules for it are gone.
  RETURN_IF_ERROR(RemoveInterface(interface));
  {
    const Lock lock(mutex_);
    // Then the rules: an address must not be free that they still know.
    if (ruleset_.Has(id)) {
      const std::string change = ruleset_.Remove(id);
      if (synced_) RETURN_IF_ERROR(Apply(change));
    } else if (synced_ && dirty_) {
      RETURN_IF_ERROR(Apply(""));
    }
  }
  RETURN_IF_ERROR(RemoveLeftovers(id));
  {
    const Lock lock(mutex_);
    records_.erase(id);
    told_.erase(id);
    last_counters_.erase(id);
  }
  WantNames();
  return absl::OkStatus();
}

// All but the rules.
Status LinuxNetworks::RemoveLeftovers(const std::string& id) {
  auto state = files_.ReadState(id);
  if (!state.ok()) {
    // Lost or broken: what the allocator knows is enough to free the addresses.
    ASSIGN_OR_RETURN(const auto bridges, files_.BridgesOf(id));
    for (const std::string& bridge : bridges) {
      RETURN_IF_ERROR(Disconnect({.id = id, .bridge = bridge}));
    }
    return files_.Remove(id);
  }
  RETURN_IF_ERROR(Disconnect(*state));
  return files_.Remove(id);
}

Status LinuxNetworks::Disconnect(const AttachmentState& state) {
  if (state.bridge.empty()) return absl::OkStatus();  // it never came to that
  Cni::Call call{.command = "DEL", .id = state.id, .interface = kInterface};
  if (!state.ports.empty()) {
    call.plugin = "portmap";
    call.config = PortmapConfig(config_, state.ports, "");
    RETURN_IF_ERROR(cni_.Run(call).status());
  }
  // The namespace may be gone: its interface goes with it, or now.
  RETURN_IF_ERROR(RemoveInterface(state.attachment.host_interface));
  RETURN_IF_ERROR(ForgetNeighbours(state.attachment));
  Subnet subnet{.bridge = state.bridge, .v4 = config_.ipv4_range};
  for (const Subnet& known : subnets_) {
    if (known.bridge == state.bridge) subnet = known;
  }
  call.plugin = "bridge";
  call.config = BridgeConfig(config_, subnet);
  return cni_.Run(call).status();
}

}  // namespace claw::network
