// What networks hear of: changes of the rules, packets denied, names resolved.

#include <algorithm>

#include "agent/base/strings.h"
#include "drivers/network/hosts_file.h"
#include "drivers/network/linux/networks.h"

namespace claw::network {
namespace {

constexpr std::chrono::seconds kBetweenDenials{5};  // of one sandbox
constexpr std::chrono::seconds kAwaitNames{3};
constexpr int kLogTries = 100;
constexpr std::chrono::milliseconds kBetweenLogTries{20};

}  // namespace

Status LinuxNetworks::StartSenses() {
  const std::lock_guard lock(senses_mutex_);
  if (!rule_watch_) {
    ASSIGN_OR_RETURN(rule_watch_, RuleWatch::Start(config_.name, [this] { RulesChanged(); }));
  }
  for (int tries = 1; !denial_log_; ++tries) {
    auto log =
        DenialLog::Start(kLogGroup, [this](const LoggedPacket& packet) { PacketDenied(packet); });
    if (log.ok()) {
      denial_log_ = std::move(*log);
    } else if (!absl::IsPermissionDenied(log.status()) || tries == kLogTries) {
      return log.status();
    } else {
      // The kernel gives the group free only some time after the agent before was killed.
      std::this_thread::sleep_for(kBetweenLogTries);
    }
  }
  if (!resolver_ && !config_.dns_servers.empty()) {
    ASSIGN_OR_RETURN(resolver_,
                     Resolver::Make({.servers = config_.dns_servers,
                                     .port = config_.dns_port,
                                     .ipv6 = config_.ipv6_range.has_value()},
                                    [this](const ResolvedName& name) { NameResolved(name); }));
    resolver_->Want(NamesWanted());
  }
  return absl::OkStatus();
}

// Those of sandboxes that are connected or are going to be.
std::set<std::string> LinuxNetworks::NamesWanted() const {
  const Lock lock(mutex_);
  std::set<std::string> names = ruleset_.Names();
  for (const auto& [id, record] : records_) {
    if (!ruleset_.Has(id)) names.merge(NamesOf(record.plan));
  }
  return names;
}

void LinuxNetworks::WantNames() {
  const std::lock_guard lock(senses_mutex_);
  if (resolver_) resolver_->Want(NamesWanted());
}

// So that what a program does first does not fail for want of an answer. A name that nobody knows
// holds nothing up for longer than that.
void LinuxNetworks::AwaitNames(const std::set<std::string>& names) {
  if (names.empty()) return;
  Resolver* resolver = nullptr;  // it stays until the destructor
  {
    const std::lock_guard lock(senses_mutex_);
    resolver = resolver_.get();
  }
  if (resolver != nullptr) resolver->WaitFor(names, kAwaitNames);
}

void LinuxNetworks::PacketDenied(const LoggedPacket& packet) {
  Denial denial{.egress = packet.egress,
                .peer = ToString(packet.egress ? packet.destination : packet.source),
                .port = packet.port,
                .protocol = packet.protocol};
  {
    const Lock lock(mutex_);
    denial.id = ruleset_.Owner(ToString(packet.egress ? packet.source : packet.destination));
    if (denial.id.empty()) return;
    const auto now = std::chrono::steady_clock::now();
    const auto [told, first] = told_.try_emplace(denial.id);
    ++told->second.packets;
    if (!first && now - told->second.at < kBetweenDenials) return;
    denial.packets = std::exchange(told->second.packets, 0);
    told->second.at = now;
  }
  if (events_.on_denied) events_.on_denied(denial);
}

void LinuxNetworks::NameResolved(const ResolvedName& name) {
  {
    const Lock lock(mutex_);
    answers_[name.name] = name;
    std::vector<IpAddress> addresses;
    for (const std::string& text : name.addresses) {
      if (const auto address = ParseIpAddress(text); address.ok()) addresses.push_back(*address);
    }
    const std::string change = ruleset_.Resolve(name.name, std::move(addresses));
    // What fails here stays dirty, and is repaired.
    if (synced_ && !change.empty()) Apply(change).IgnoreError();
    for (const auto& [id, record] : records_) {
      if (NamesOf(record.plan).count(name.name) != 0) WriteFiles(record);
    }
  }
  if (events_.on_resolved) events_.on_resolved(name);
}

std::vector<ResolvedName> LinuxNetworks::Names(const std::string& id) const {
  const Lock lock(mutex_);
  std::vector<ResolvedName> names;
  const auto record = records_.find(id);
  if (record == records_.end()) return names;
  for (const std::string& name : NamesOf(record->second.plan)) {
    const auto answer = answers_.find(name);
    names.push_back(answer != answers_.end()
                        ? answer->second
                        : ResolvedName{.name = name, .problem = "not resolved yet"});
  }
  return names;
}

}  // namespace claw::network
