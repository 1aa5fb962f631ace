#include "drivers/network/linux/networks.h"

#include <algorithm>
#include <utility>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "drivers/network/linux/nft.h"
#include "drivers/network/linux/wiring.h"

namespace claw::network {

std::unique_ptr<Networks> MakeNetworks(NetworkConfig config, NetworkEvents events) {
  return std::make_unique<LinuxNetworks>(std::move(config), std::move(events));
}

LinuxNetworks::LinuxNetworks(NetworkConfig config, NetworkEvents events)
    : config_(std::move(config)),
      events_(std::move(events)),
      subnets_(CutRange(config_)),
      files_(config_.run_dir),
      cni_(config_.cni_path, config_.run_dir),
      ruleset_(config_) {
  repairer_ = std::thread([this] { RepairLoop(); });
}

LinuxNetworks::~LinuxNetworks() {
  {
    const std::lock_guard lock(senses_mutex_);
    rule_watch_.reset();
    denial_log_.reset();
    resolver_.reset();
  }
  {
    const Lock lock(mutex_);
    ending_ = true;
    wake_.notify_all();
  }
  repairer_.join();
}

bool LinuxNetworks::HasTraces() const {
  const auto ids = files_.Ids();
  return !ids.ok() || !ids->empty();
}

NetworkHealth LinuxNetworks::Probe() {
  NetworkHealth health;
  const auto add = [&](const Status& status) {
    if (status.ok()) return;
    health.message += StrCat(health.message.empty() ? "" : "; ", status.message());
  };
  add(EnsureDirectory(config_.run_dir, 0755));
  for (const std::string plugin : {"loopback", "bridge", "host-local", "portmap"}) {
    add(cni_.Find(plugin).status());
  }
  add(FindProgram("ip").status());
  if (const auto version = cni_.Version(); version.ok()) health.cni_version = *version;
  if (const auto version = NftVersion(); version.ok()) health.nft_version = *version;
  health.ipv6 = config_.ipv6_range.has_value();
  add(Annotate(EnableForwarding(health.ipv6), "turn on the forwarding of packets"));
  {
    const Lock lock(mutex_);
    const Status tables = EnsureTables();
    // Those of an agent before are fine until Reconcile.
    if (!absl::IsFailedPrecondition(tables)) add(tables);
    for (const Subnet& subnet : subnets_) health.addresses += subnet.room;
    health.addresses_used = std::count_if(records_.begin(), records_.end(), [](const auto& record) {
      return !record.second.bridge.empty();
    });
  }
  add(StartSenses());
  health.healthy = health.message.empty();
  return health;
}

}  // namespace claw::network
