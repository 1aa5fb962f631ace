#include "drivers/network/ruleset.h"

#include <algorithm>
#include <utility>

#include "agent/base/strings.h"
#include "drivers/network/hosts_file.h"
#include "drivers/network/link_local.h"

namespace claw::network {
namespace {

std::string Counted(std::string element, const PacketCount& count) {
  return StrCat(element, " counter packets ", count.packets, " bytes ", count.bytes);
}

const std::string& AddressOf(const NetworkAttachment& attachment, const Family& family) {
  return family.suffix == "6" ? attachment.ipv6 : attachment.ipv4;
}

}  // namespace

Ruleset::Ruleset(NetworkConfig config) : config_(std::move(config)) {
  Script ignored;
  hooks_ = MakeFrame(config_, ignored);
}

std::string Ruleset::Set(std::string_view name) const {
  return StrCat("inet ", config_.name, " ", name);
}

std::string Ruleset::BridgeSet(std::string_view name) const {
  return StrCat("bridge ", config_.name, " ", name);
}

std::string Ruleset::Whole(const Counters& counters) const {
  Script script;
  MakeFrame(config_, script);
  for (const auto& [name, tenant] : tenants_) MakeTenant(tenant, script);
  for (const auto& [content, layer] : layers_) MakeLayer(layer, script);
  for (const auto& [key, profile] : profiles_) MakeProfile(profile, script);
  for (const auto& [id, member] : members_) {
    const auto count = counters.find(id);
    PutMembership(member, script);
    PutRest(member, count == counters.end() ? NetworkCounters{} : count->second, script);
  }
  return script.Text();
}

std::string Ruleset::Verdicts() const {
  Script script;
  for (const auto& [id, member] : members_) PutVerdicts(member, script);
  return script.Text();
}

std::string Ruleset::Add(const NetworkPlan& plan, const NetworkAttachment& attachment) {
  Script script;
  Member member{.plan = plan, .attachment = attachment, .profile = Acquire(plan, script)};
  PutMembership(member, script);
  PutVerdicts(member, script);
  PutRest(member, {}, script);
  owners_[attachment.ipv4] = plan.id;
  if (!attachment.ipv6.empty()) owners_[attachment.ipv6] = plan.id;
  members_[plan.id] = std::move(member);
  return script.Text();
}

std::string Ruleset::Remove(const std::string& id) {
  const auto it = members_.find(id);
  if (it == members_.end()) return "";
  const Member member = std::move(it->second);
  members_.erase(it);
  owners_.erase(member.attachment.ipv4);
  owners_.erase(member.attachment.ipv6);
  Script script;
  TakeVerdicts(member, script);
  TakeRest(member, script);
  Release(member.profile, script);
  return script.Text();
}

std::string Ruleset::Replace(const std::vector<NetworkPlan>& plans) {
  Script script;
  std::vector<std::string> released;
  for (const NetworkPlan& plan : plans) {
    const auto it = members_.find(plan.id);
    if (it == members_.end()) continue;
    Member& member = it->second;
    TakeVerdicts(member, script);
    released.push_back(member.profile);
    member.profile = Acquire(plan, script);
    member.plan = plan;
    PutMembership(member, script);
    PutVerdicts(member, script);
  }
  // Only now, so that what old and new policies have in common stays.
  for (const std::string& profile : released) Release(profile, script);
  return script.Text();
}

std::string Ruleset::Resolve(const std::string& name, std::vector<IpAddress> addresses) {
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  if (names_[name] == addresses) return "";
  names_[name] = std::move(addresses);
  Script script;
  bool any = false;
  for (const auto& [content, layer] : layers_) {
    const auto has_name = [&](const NetworkRule& rule) {
      return rule.kind == PeerKind::kName && rule.name == name;
    };
    const auto& egress = layer.policy.egress;
    if (std::none_of(egress.begin(), egress.end(), has_name)) continue;
    any = true;
    for (const Family& family : Families(config_)) {
      const std::string set = Set(StrCat("l", layer.number, "_out", family.suffix));
      script.Make("flush set ", set);
    }
    FillLayer(layer, true, script);
  }
  return any ? script.Text() : "";
}

std::vector<std::string> Ruleset::Ids() const {
  std::vector<std::string> ids;
  for (const auto& [id, member] : members_) ids.push_back(id);
  return ids;
}

std::string Ruleset::Owner(const std::string& address) const {
  const auto owner = owners_.find(address);
  return owner == owners_.end() ? "" : owner->second;
}

std::set<std::string> Ruleset::Names() const {
  std::set<std::string> names;
  for (const auto& [content, layer] : layers_) {
    for (const NetworkRule& rule : layer.policy.egress) {
      if (rule.kind == PeerKind::kName) names.insert(rule.name);
    }
  }
  return names;
}

std::vector<IpAddress> Ruleset::Addresses(const std::string& name) const {
  const auto it = names_.find(name);
  return it == names_.end() ? std::vector<IpAddress>{} : it->second;
}

// What a policy decides, which Replace moves: this, and to what a sandbox belongs.
void Ruleset::PutVerdicts(const Member& member, Script& script) const {
  const Profile& profile = profiles_.at(member.profile);
  for (const Family& family : Families(config_)) {
    const std::string& address = AddressOf(member.attachment, family);
    if (address.empty()) continue;
    const std::string suffix(family.suffix);
    for (const std::string_view way : {"from", "to"}) {
      script.PutElement(
          Set(std::string(way) + suffix),
          StrCat(address, " : jump ", way.substr(0, 1), suffix, "_p", profile.number));
    }
  }
}

void Ruleset::PutMembership(const Member& member, Script& script) const {
  const int tenant = tenants_.at(profiles_.at(member.profile).tenant).number;
  for (const Family& family : Families(config_)) {
    const std::string& address = AddressOf(member.attachment, family);
    if (address.empty()) continue;
    const std::string suffix(family.suffix);
    if (AsksDns(member.plan)) script.PutElement(Set("asks" + suffix), address);
    script.PutElement(Set(StrCat("tn", tenant, "_", suffix)), address);
  }
}

void Ruleset::TakeVerdicts(const Member& member, Script& script) const {
  const int tenant = tenants_.at(profiles_.at(member.profile).tenant).number;
  for (const Family& family : Families(config_)) {
    const std::string& address = AddressOf(member.attachment, family);
    if (address.empty()) continue;
    const std::string suffix(family.suffix);
    script.TakeElement(Set("from" + suffix), address);
    script.TakeElement(Set("to" + suffix), address);
    if (AsksDns(member.plan)) script.TakeElement(Set("asks" + suffix), address);
    script.TakeElement(Set(StrCat("tn", tenant, "_", suffix)), address);
  }
}

void Ruleset::PutRest(const Member& member, const NetworkCounters& counters, Script& script) const {
  const NetworkAttachment& at = member.attachment;
  const std::string speaker = StrCat(at.host_interface, " . ", at.mac, " . ");
  for (const Family& family : Families(config_)) {
    const std::string& address = AddressOf(at, family);
    if (address.empty()) continue;
    const std::string suffix(family.suffix);
    // The first family goes on with the old values of both.
    const NetworkCounters start = family.suffix == "4" ? counters : NetworkCounters{};
    script.PutElement(Set("received" + suffix), Counted(address, start.received));
    script.PutElement(Set("dfrom" + suffix), Counted(address, start.egress_denied));
    script.PutElement(Set("dto" + suffix), Counted(address, start.ingress_denied));
    script.PutElement(Set("lfrom" + suffix), Counted(address, start.egress_limited));
    script.PutElement(Set("lto" + suffix), Counted(address, start.ingress_limited));
    script.PutElement(BridgeSet("speakers" + suffix), Counted(speaker + address, start.sent));
  }
  if (!at.ipv6.empty()) {
    script.PutElement(BridgeSet("speakers6"), speaker + LinkLocal(at.mac));
  }
  script.PutElement(BridgeSet("arp4"),
                    StrCat(at.host_interface, " . ", at.mac, " . ", at.mac, " . ", at.ipv4));
  script.PutElement(Set("astray"), at.host_interface);
  script.PutElement(BridgeSet("ports"), at.host_interface);
  script.PutElement(BridgeSet("spoofed"), Counted(at.host_interface, counters.spoofed));
}

void Ruleset::TakeRest(const Member& member, Script& script) const {
  const NetworkAttachment& at = member.attachment;
  const std::string speaker = StrCat(at.host_interface, " . ", at.mac, " . ");
  for (const Family& family : Families(config_)) {
    const std::string& address = AddressOf(at, family);
    if (address.empty()) continue;
    const std::string suffix(family.suffix);
    for (const std::string_view set : {"received", "dfrom", "dto", "lfrom", "lto"}) {
      script.TakeElement(Set(std::string(set) + suffix), address);
    }
    script.TakeElement(BridgeSet("speakers" + suffix), speaker + address);
  }
  if (!at.ipv6.empty()) {
    script.TakeElement(BridgeSet("speakers6"), speaker + LinkLocal(at.mac));
  }
  script.TakeElement(BridgeSet("arp4"),
                     StrCat(at.host_interface, " . ", at.mac, " . ", at.mac, " . ", at.ipv4));
  script.TakeElement(Set("astray"), at.host_interface);
  script.TakeElement(BridgeSet("ports"), at.host_interface);
  script.TakeElement(BridgeSet("spoofed"), at.host_interface);
}

std::vector<Wanted> Ruleset::WantedOf(const std::string& id) const {
  const Member& member = members_.at(id);
  const NetworkAttachment& at = member.attachment;
  const int profile = profiles_.at(member.profile).number;
  std::vector<Wanted> wanted;
  for (const Family& family : Families(config_)) {
    const std::string& address = AddressOf(at, family);
    if (address.empty()) continue;
    const std::string suffix(family.suffix);
    for (const std::string_view way : {"from", "to"}) {
      wanted.push_back({.family = "inet",
                        .set = std::string(way) + suffix,
                        .key = {address},
                        .chain = StrCat(way.substr(0, 1), suffix, "_p", profile)});
    }
    wanted.push_back({.family = "bridge",
                      .set = "speakers" + suffix,
                      .key = {at.host_interface, at.mac, address}});
  }
  wanted.push_back(
      {.family = "bridge", .set = "arp4", .key = {at.host_interface, at.mac, at.mac, at.ipv4}});
  return wanted;
}

}  // namespace claw::network
