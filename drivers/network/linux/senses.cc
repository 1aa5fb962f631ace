// What networks hear of: changes of the rules, packets denied, names resolved.

#include <algorithm>

#include "agent/base/strings.h"
#include "drivers/network/hosts_file.h"
#include "drivers/network/linux/networks.h"

namespace claw::network {
namespace {

constexpr std::chrono::seconds kBetweenDenials{5};  // of one sandbox

}  // namespace

Status LinuxNetworks::StartSenses() {
  const std::lock_guard lock(senses_mutex_);
  if (!rule_watch_) {
    ASSIGN_OR_RETURN(rule_watch_, RuleWatch::Start(config_.name, [this] { RulesChanged(); }));
  }
  if (!denial_log_) {
    ASSIGN_OR_RETURN(denial_log_, DenialLog::Start(kLogGroup, [this](const LoggedPacket& packet) {
                       PacketDenied(packet);
                     }));
  }
  return absl::OkStatus();
}

// The names that have to be resolved from now on.
void LinuxNetworks::WantNames() {}

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
    // What fails here stays dirty, and is written with the next change or repair.
    if (synced_ && !change.empty() && !Apply(change).ok()) {
      look_ = true;
      wake_.notify_all();
    }
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
