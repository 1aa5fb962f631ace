// After a restart of the agent: what it has stays, all else goes.

#include <algorithm>
#include <set>

#include "agent/base/strings.h"
#include "drivers/network/linux/networks.h"
#include "drivers/network/linux/wiring.h"

namespace claw::network {

namespace {

// A sandbox that has ended meanwhile has no port any more, until it is detached.
Status FixThere(const std::string& bridges, std::vector<NetworkAttachment> attachments) {
  ASSIGN_OR_RETURN(const auto ports, BridgePorts(bridges));
  std::set<std::string> there;
  for (const auto& [interface, bridge] : ports) there.insert(interface);
  std::erase_if(attachments, [&](const auto& one) { return there.count(one.host_interface) == 0; });
  return FixPorts(attachments);
}

}  // namespace

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
  {
    Lock lock(mutex_);
    if (!alone_) {
      lock.unlock();
      RETURN_IF_ERROR(cni_.AwaitAll());
      lock.lock();
      alone_ = true;
    }
  }
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
  // One that resists is in nobody else's way.
  Status status;
  const auto keep = [&status](const Status& step) { status.Update(step); };
  for (const std::string& id : removed) {
    keep(Annotate(RemoveLeftovers(id), StrCat("remove what is left of ", id)));
  }
  for (const Subnet& subnet : subnets_) {
    // A bridge that is there may have been touched while nobody looked.
    keep(HardenBridge(subnet.bridge));
  }
  keep(FixThere(config_.name, std::move(connected)));
  keep(RemoveStrays());
  RETURN_IF_ERROR(status);
  return removed;
}

// Whether a sandbox has it, or is being connected there: it may have it, but not say so yet.
bool LinuxNetworks::MayBeUsed(const std::string& bridge,
                              const std::function<bool(const Record&)>& by) const {
  const Lock lock(mutex_);
  return std::any_of(records_.begin(), records_.end(), [&](const auto& entry) {
    const Record& record = entry.second;
    return by(record) || (record.attachment.ipv4.empty() && record.bridge == bridge);
  });
}

// What no file tells of: a crash came between what made it and the file.
Status LinuxNetworks::RemoveStrays() {
  ASSIGN_OR_RETURN(const auto ports, BridgePorts(config_.name));
  for (const auto& [interface, bridge] : ports) {
    const auto has = [&name = interface](const Record& record) {
      return record.attachment.host_interface == name;
    };
    if (!MayBeUsed(bridge, has)) RETURN_IF_ERROR(RemoveInterface(interface));
  }
  ASSIGN_OR_RETURN(const auto fixed, FixedNeighbours(config_.name));
  for (const auto& [address, bridge] : fixed) {
    const auto has = [&wanted = address](const Record& record) {
      return record.attachment.ipv4 == wanted || record.attachment.ipv6 == wanted;
    };
    if (MayBeUsed(bridge, has)) continue;
    RETURN_IF_ERROR(ForgetNeighbours({.ipv4 = address, .bridge = bridge}));
  }
  return absl::OkStatus();
}

}  // namespace claw::network
