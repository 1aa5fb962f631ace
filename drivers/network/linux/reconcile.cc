// After a restart of the agent: what it has stays, all else goes.

#include <set>

#include "agent/base/strings.h"
#include "drivers/network/linux/networks.h"
#include "drivers/network/linux/wiring.h"

namespace claw::network {

Status LinuxNetworks::Adopt(const NetworkPlan& plan, const NetworkAttachment& attachment) {
  {
    const Lock lock(mutex_);
    if (ruleset_.Has(plan.id)) ruleset_.Remove(plan.id);
    records_[plan.id] = {.plan = plan, .attachment = attachment, .bridge = attachment.bridge};
    ruleset_.Add(plan, attachment);
    dirty_ = true;  // until Reconcile
  }
  return files_.WriteState(
      {.id = plan.id, .bridge = attachment.bridge, .attachment = attachment, .ports = plan.ports});
}

StatusOr<std::vector<std::string>> LinuxNetworks::Reconcile() {
  ASSIGN_OR_RETURN(const std::set<std::string> found, files_.Ids());
  // The rules before may allow names that this object has not resolved yet.
  WantNames();
  AwaitNames(NamesWanted());
  std::vector<std::string> removed;
  std::vector<NetworkAttachment> connected;
  {
    const Lock lock(mutex_);
    // The rules of those that go, go first.
    if (auto counters = ReadCounters(); counters.ok()) last_counters_ = std::move(*counters);
    RETURN_IF_ERROR(Rewrite());
    synced_ = true;
    for (const std::string& id : found) {
      if (records_.count(id) == 0) removed.push_back(id);
    }
    for (const auto& [id, record] : records_) {
      if (!ruleset_.Has(id)) continue;
      connected.push_back(record.attachment);
      WriteFiles(record);
    }
  }
  for (const std::string& id : removed) {
    RETURN_IF_ERROR(Annotate(RemoveLeftovers(id), StrCat("remove what is left of ", id)));
  }
  for (const Subnet& subnet : subnets_) {
    // A bridge that is there may have been touched while nobody looked.
    RETURN_IF_ERROR(HardenBridge(subnet.bridge));
  }
  RETURN_IF_ERROR(FixPorts(connected));
  ASSIGN_OR_RETURN(const auto fixed, FixedNeighbours(config_.name));
  for (const auto& [address, bridge] : fixed) {
    {
      const Lock lock(mutex_);
      const bool known = std::any_of(records_.begin(), records_.end(), [&](const auto& entry) {
        // One that is being connected may have it, but not yet say so.
        const Record& record = entry.second;
        return record.attachment.ipv4 == address || record.attachment.ipv6 == address ||
               (record.attachment.ipv4.empty() && record.bridge == bridge);
      });
      if (known) continue;
    }
    RETURN_IF_ERROR(ForgetNeighbours({.ipv4 = address, .bridge = bridge}));
  }
  return removed;
}

}  // namespace claw::network
