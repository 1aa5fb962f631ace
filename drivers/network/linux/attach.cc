// How a sandbox is connected.

#include <unistd.h>

#include "agent/base/strings.h"
#include "drivers/network/cni_config.h"
#include "drivers/network/hosts_file.h"
#include "drivers/network/linux/networks.h"
#include "drivers/network/linux/wiring.h"

namespace claw::network {

StatusOr<NetworkFiles> LinuxNetworks::Prepare(const NetworkPlan& plan) {
  const NetworkFiles files = files_.Files(plan.id);
  {
    const Lock lock(mutex_);
    // Before anything else is there, so that whatever a crash leaves is found.
    RETURN_IF_ERROR(files_.WriteState({.id = plan.id, .ports = plan.ports}));
    Record& record = records_[plan.id];
    record.plan = plan;
    RETURN_IF_ERROR(AttachmentFiles::WriteInPlace(
        files.hosts, HostsText(plan, record.attachment, [this](const std::string& name) {
          return ruleset_.Addresses(name);
        })));
    RETURN_IF_ERROR(
        AttachmentFiles::WriteInPlace(files.resolv_conf, ResolvConfText(config_, plan)));
  }
  WantNames();
  return files;
}

StatusOr<NetworkAttachment> LinuxNetworks::Attach(const NetworkPlan& plan, int64_t pid) {
  ASSIGN_OR_RETURN(const UniqueFd netns, OpenNamespace(pid));
  {
    const Lock lock(mutex_);
    if (ruleset_.Has(plan.id)) return FailedPrecondition("sandbox ", plan.id, " is connected");
    RETURN_IF_ERROR(EnsureTables());
    records_[plan.id].plan = plan;
  }
  ASSIGN_OR_RETURN(const NetworkAttachment attachment, Connect(plan, netns));
  RETURN_IF_ERROR(PutInForce(plan, attachment));
  AwaitNames(NamesOf(plan));
  if (!plan.ports.empty()) {
    const std::string path = StrCat("/proc/", ::getpid(), "/fd/", netns.get());
    RETURN_IF_ERROR(MapPorts(plan.ports, plan.id, attachment, path));
  }
  return attachment;
}

// The lowest bridge from `next` on that has room, and the room. `next` is then the one behind it.
StatusOr<Subnet> LinuxNetworks::TakeRoom(const std::string& id, size_t& next) {
  const Lock lock(mutex_);
  std::map<std::string, int64_t> used;
  int64_t total_used = 0;
  for (const auto& [other, record] : records_) {
    if (other == id || record.bridge.empty()) continue;
    ++used[record.bridge];
    ++total_used;
  }
  int64_t total = 0;
  for (const Subnet& subnet : subnets_) total += subnet.room;
  while (next < subnets_.size()) {
    const Subnet& subnet = subnets_[next++];
    if (used[subnet.bridge] >= subnet.room) continue;
    records_[id].bridge = subnet.bridge;
    return subnet;
  }
  records_[id].bridge.clear();
  return MakeError(StatusCode::kResourceExhausted,
                   StrCat("no address is left for a sandbox in ", ToString(config_.ipv4_range),
                          ": ", total_used, " of ", total, " are used"),
                   {.reason = "ADDRESSES_EXHAUSTED",
                    .constraint = "network.ipv4_range",
                    .needed = "1 address",
                    .available = StrCat(std::max<int64_t>(0, total - total_used), " addresses")});
}

StatusOr<NetworkAttachment> LinuxNetworks::Connect(const NetworkPlan& plan, const UniqueFd& netns) {
  // By a descriptor of ours, which every process can open: the pid may be another's by then.
  const std::string path = StrCat("/proc/", ::getpid(), "/fd/", netns.get());
  RETURN_IF_ERROR(PrepareInside(netns));
  RETURN_IF_ERROR(cni_.Run({.command = "ADD",
                            .plugin = "loopback",
                            .id = plan.id,
                            .netns = path,
                            .interface = "lo",
                            .config = LoopbackConfig()})
                      .status());
  size_t next = 0;
  while (true) {
    ASSIGN_OR_RETURN(const Subnet subnet, TakeRoom(plan.id, next));
    RETURN_IF_ERROR(EnsureBridge(subnet.bridge));
    auto connected = TryBridge(plan, subnet, path);
    // The bridge may have addresses that nobody has any more, or that are somebody else's.
    if (absl::IsResourceExhausted(connected.status())) continue;
    RETURN_IF_ERROR(connected.status());
    RETURN_IF_ERROR(RouteThroughHost(netns, subnet, *connected));
    RETURN_IF_ERROR(FixPorts({*connected}));
    return connected;
  }
}

StatusOr<NetworkAttachment> LinuxNetworks::TryBridge(const NetworkPlan& plan, const Subnet& subnet,
                                                     const std::string& netns) {
  AttachmentState state{.id = plan.id, .bridge = subnet.bridge, .ports = plan.ports};
  RETURN_IF_ERROR(files_.WriteState(state));
  Cni::Call call{.command = "ADD",
                 .plugin = "bridge",
                 .id = plan.id,
                 .netns = netns,
                 .interface = kInterface,
                 .config = BridgeConfig(config_, subnet)};
  const auto result = cni_.Run(call);
  if (!result.ok()) {
    // The plugin leaves the interface behind when it finds no address, in the next one's way.
    call.command = "DEL";
    cni_.Run(call).IgnoreError();
    return result.status();
  }
  ASSIGN_OR_RETURN(state.attachment, ParseBridgeResult(*result, config_.ipv6_range.has_value()));
  RETURN_IF_ERROR(files_.WriteState(state));
  return state.attachment;
}

Status LinuxNetworks::PutInForce(const NetworkPlan& plan, const NetworkAttachment& attachment) {
  {
    const Lock lock(mutex_);
    const auto record = records_.find(plan.id);
    if (record == records_.end()) return FailedPrecondition("it was detached meanwhile");
    record->second.attachment = attachment;
    RETURN_IF_ERROR(Apply(ruleset_.Add(plan, attachment)));
    RETURN_IF_ERROR(Verify(plan.id));
    WriteFiles(record->second);
  }
  WantNames();
  return absl::OkStatus();
}

Status LinuxNetworks::MapPorts(const std::vector<PortMapping>& ports, const std::string& id,
                               const NetworkAttachment& attachment, const std::string& netns) {
  return cni_
      .Run({.command = "ADD",
            .plugin = "portmap",
            .id = id,
            .netns = netns,
            .interface = kInterface,
            .config = PortmapConfig(config_, ports, ResultText(attachment))})
      .status();
}

}  // namespace claw::network
