// The rules that sandboxes under the same policies share.

#include <algorithm>

#include "drivers/network/elements.h"
#include "drivers/network/ruleset.h"

namespace claw::network {
namespace {

// What the kernel can count with; no machine comes near it.
constexpr int64_t kMaxRate = int64_t{1} << 34;
// Of two packets as large as they get inside of a host (64 KiB). One second's worth comes on top.
constexpr int64_t kBurstBytes = 128 << 10;
// A dynamic set has to have a size. Each sandbox is in it once.
constexpr int kDynamicSize = 65535;

bool HasTenantRule(const std::vector<NetworkRule>& rules) {
  return std::any_of(rules.begin(), rules.end(),
                     [](const NetworkRule& rule) { return rule.kind == PeerKind::kTenant; });
}

// Whether rules may come to allow an address of this family.
bool HasAddressRule(const std::vector<NetworkRule>& rules, bool v6) {
  return std::any_of(rules.begin(), rules.end(), [v6](const NetworkRule& rule) {
    return rule.kind == PeerKind::kName ||
           (rule.kind == PeerKind::kPrefix && rule.prefix.address.v6 == v6);
  });
}

bool IsV6(const Family& family) { return family.suffix == "6"; }

}  // namespace

std::vector<NetworkRule> Ruleset::Resolved(const std::vector<NetworkRule>& rules) const {
  std::vector<NetworkRule> resolved;
  for (const NetworkRule& rule : rules) {
    if (rule.kind != PeerKind::kName) {
      resolved.push_back(rule);
      continue;
    }
    const auto name = names_.find(rule.name);
    if (name == names_.end()) continue;
    for (const IpAddress& address : name->second) {
      NetworkRule pinned = rule;
      pinned.kind = PeerKind::kPrefix;
      pinned.prefix = {.address = address, .bits = address.v6 ? 128 : 32};
      resolved.push_back(std::move(pinned));
    }
  }
  return resolved;
}

void Ruleset::MakeTenant(const Tenant& tenant, Script& script) const {
  for (const Family& family : Families(config_)) {
    script.Make("add set ", Set(StrCat("tn", tenant.number, "_", family.suffix)), " { type ",
                family.type, "; }");
  }
}

void Ruleset::MakeLayer(const Layer& layer, Script& script) const {
  for (const Family& family : Families(config_)) {
    const std::string name = StrCat("l", layer.number, "_");
    for (const auto& [way, rules] : {std::pair("out", &layer.policy.egress),  //
                                     std::pair("in", &layer.policy.ingress)}) {
      if (HasAddressRule(*rules, IsV6(family))) {
        script.Make("add set ", Set(StrCat(name, way, family.suffix)), " { type ", family.type,
                    " . inet_proto . inet_service; flags interval; }");
      }
      if (HasTenantRule(*rules)) {
        const std::string set = Set(StrCat(name, way, "t", family.suffix));
        script.Make("add set ", set, " { type inet_proto . inet_service; flags interval; }");
        for (const SetElement& element : TenantElements(*rules, IsV6(family))) {
          script.PutElement(set, ServiceText(element));
        }
      }
    }
  }
  FillLayer(layer, true, script);
  FillLayer(layer, false, script);
}

void Ruleset::FillLayer(const Layer& layer, bool egress, Script& script) const {
  const auto& rules = egress ? layer.policy.egress : layer.policy.ingress;
  for (const Family& family : Families(config_)) {
    const std::string set = Set(StrCat("l", layer.number, egress ? "_out" : "_in", family.suffix));
    for (const SetElement& element : Elements(Resolved(rules), IsV6(family))) {
      script.PutElement(set, ElementText(element));
    }
  }
}

// Every layer has to match, each in one of its ways. All in one rule: it must not depend on whether
// a field that a packet is too short for counts as matched or not.
std::vector<std::string> Ruleset::Matches(const Profile& profile, const Family& family, bool egress,
                                          std::string_view peer, std::string_view port) const {
  if (profile.layers.empty()) return {};
  const int tenant = tenants_.at(profile.tenant).number;
  std::vector<std::string> matches = {""};
  for (const std::string& key : profile.layers) {
    const Layer& layer = layers_.at(key);
    const auto& rules = egress ? layer.policy.egress : layer.policy.ingress;
    const std::string set = StrCat("@l", layer.number, egress ? "_out" : "_in");
    const std::string service = StrCat("meta l4proto . th ", port, " ");
    std::vector<std::string> longer;
    for (const std::string& match : matches) {
      if (HasAddressRule(rules, IsV6(family))) {
        longer.push_back(
            StrCat(match, family.ip, " ", peer, " . ", service, set, family.suffix, " "));
      }
      if (HasTenantRule(rules)) {
        longer.push_back(StrCat(match, family.ip, " ", peer, " @tn", tenant, "_", family.suffix,
                                " ", service, set, "t", family.suffix, " "));
      }
    }
    matches = std::move(longer);
  }
  return matches;
}

void Ruleset::MakeProfile(const Profile& profile, Script& script) const {
  for (const Family& family : Families(config_)) {
    MakeEnd(profile, family, true, script);
    MakeEnd(profile, family, false, script);
    MakeFrom(profile, family, script);
    MakeTo(profile, family, script);
  }
}

void Ruleset::MakeFrom(const Profile& profile, const Family& family, Script& script) const {
  const std::string chain = Set(StrCat("f", family.suffix, "_p", profile.number));
  script.Make("add chain ", chain);
  const auto rule = [&](const auto&... parts) { script.Make("add rule ", chain, " ", parts...); };
  const bool limited = profile.egress_bytes_per_second > 0 || profile.connections_max > 0;
  const std::string pass =
      limited ? StrCat("goto f", family.suffix, "z_p", profile.number) : std::string("accept");
  const int tenant = tenants_.at(profile.tenant).number;
  rule(family.ip, " daddr @pool", family.suffix, " ", family.ip, " daddr != @tn", tenant, "_",
       family.suffix, " goto deny_from");
  // An answer: to a connection that is allowed as long as it goes on.
  for (const std::string& match : Matches(profile, family, false, "daddr", "sport")) {
    rule("ct direction reply ", match, pass);
  }
  rule("ct direction reply ", family.related, " ", pass);
  rule("ct direction reply goto deny_from");
  if (profile.dns) {
    rule(family.ip, " daddr . meta l4proto . th dport @dns", family.suffix, " ", pass);
  }
  rule(family.ip, " daddr @denied", family.suffix, " jump never", family.suffix);
  rule(family.related, " ", pass);
  for (const std::string& match : Matches(profile, family, true, "daddr", "dport")) {
    rule(match, pass);
  }
  rule("goto deny_from");
}

void Ruleset::MakeTo(const Profile& profile, const Family& family, Script& script) const {
  const std::string chain = Set(StrCat("t", family.suffix, "_p", profile.number));
  script.Make("add chain ", chain);
  const auto rule = [&](const auto&... parts) { script.Make("add rule ", chain, " ", parts...); };
  const std::string pass = profile.ingress_bytes_per_second > 0
                               ? StrCat("goto t", family.suffix, "z_p", profile.number)
                               : std::string("goto passed_to");
  const int tenant = tenants_.at(profile.tenant).number;
  rule(family.ip, " saddr @pool", family.suffix, " ", family.ip, " saddr != @tn", tenant, "_",
       family.suffix, " goto deny_to");
  rule(family.related, " ", pass);
  for (const std::string& match : Matches(profile, family, false, "saddr", "dport")) {
    rule("ct direction original ", match, pass);
  }
  rule("ct direction original goto deny_to");
  if (profile.dns) {
    rule(family.ip, " saddr . meta l4proto . th sport @dns", family.suffix, " ", pass);
  }
  rule(family.ip, " saddr @denied", family.suffix, " jump never_back", family.suffix);
  for (const std::string& match : Matches(profile, family, true, "saddr", "sport")) {
    rule(match, pass);
  }
  rule("goto deny_to");
}

// Where packets that are allowed go on to, if there are bounds for them.
void Ruleset::MakeEnd(const Profile& profile, const Family& family, bool from,
                      Script& script) const {
  const int64_t rate = from ? profile.egress_bytes_per_second : profile.ingress_bytes_per_second;
  const bool connections = from && profile.connections_max > 0;
  if (rate <= 0 && !connections) return;
  const std::string name = StrCat(from ? "f" : "t", family.suffix, "z_p", profile.number);
  const std::string_view self = from ? "saddr" : "daddr";
  const auto set = [&](std::string_view purpose) {
    script.Make("add set ", Set(StrCat(name, purpose)), " { type ", family.type, "; size ",
                kDynamicSize, "; flags dynamic; }");
    return StrCat("add @", name, purpose, " { ", family.ip, " ", self);
  };
  script.Make("add chain ", Set(name));
  if (connections) {
    const std::string add = set("_cc");
    script.Make("add rule ", Set(name), " ct state new ", add, " ct count over ",
                profile.connections_max, " } goto deny_from");
  }
  if (rate > 0) {
    const std::string add = set("_bw");
    script.Make("add rule ", Set(name), " ", add, " limit rate over ", std::min(rate, kMaxRate),
                " bytes/second burst ", kBurstBytes, " bytes } goto ",
                from ? "limited_from" : "limited_to");
  }
  script.Make("add rule ", Set(name), " ", from ? "accept" : "goto passed_to");
}

void Ruleset::DropProfile(const Profile& profile, Script& script) const {
  for (const Family& family : Families(config_)) {
    for (const bool from : {true, false}) {
      const std::string way = StrCat(from ? "f" : "t", family.suffix);
      const int64_t rate =
          from ? profile.egress_bytes_per_second : profile.ingress_bytes_per_second;
      const bool connections = from && profile.connections_max > 0;
      script.Drop("delete chain ", Set(StrCat(way, "_p", profile.number)));
      if (rate <= 0 && !connections) continue;
      const std::string end = StrCat(way, "z_p", profile.number);
      script.Drop("delete chain ", Set(end));
      if (connections) script.Drop("delete set ", Set(end + "_cc"));
      if (rate > 0) script.Drop("delete set ", Set(end + "_bw"));
    }
  }
}

std::string Ruleset::Acquire(const NetworkPlan& plan, Script& script) {
  Profile profile{.tenant = plan.tenant, .dns = !plan.layers.empty()};
  std::string key = StrCat(plan.tenant, "\n");
  const auto stricter = [](int64_t& bound, int64_t other) {
    if (other > 0 && (bound == 0 || other < bound)) bound = other;
  };
  Tenant& tenant = tenants_[plan.tenant];
  if (tenant.uses++ == 0) {
    tenant.number = next_number_++;
    MakeTenant(tenant, script);
  }
  for (const NetworkPlan::Layer& layer : plan.layers) {
    std::string content;
    for (const NetworkRule& rule : layer.policy.egress) content += ToString(rule) + "\n";
    content += ">\n";
    for (const NetworkRule& rule : layer.policy.ingress) content += ToString(rule) + "\n";
    Layer& known = layers_[content];
    if (known.uses++ == 0) {
      known.number = next_number_++;
      known.policy = {.egress = layer.policy.egress, .ingress = layer.policy.ingress};
      MakeLayer(known, script);
    }
    key += StrCat("l", known.number, "\n");
    stricter(profile.egress_bytes_per_second, layer.policy.egress_bytes_per_second);
    stricter(profile.ingress_bytes_per_second, layer.policy.ingress_bytes_per_second);
    stricter(profile.connections_max, layer.policy.connections_max);
    profile.dns = profile.dns && layer.policy.dns;
    profile.layers.push_back(std::move(content));
  }
  key += StrCat(profile.egress_bytes_per_second, " ", profile.ingress_bytes_per_second, " ",
                profile.connections_max, " ", profile.dns);
  Profile& known = profiles_[key];
  if (known.uses++ == 0) {
    profile.number = next_number_++;
    profile.uses = 1;
    known = std::move(profile);
    MakeProfile(known, script);
  }
  return key;
}

void Ruleset::Release(const std::string& key, Script& script) {
  Profile& profile = profiles_.at(key);
  const Profile last = profile;
  if (--profile.uses == 0) {
    DropProfile(profile, script);
    profiles_.erase(key);
  }
  for (const std::string& content : last.layers) {
    Layer& layer = layers_.at(content);
    if (--layer.uses > 0) continue;
    for (const Family& family : Families(config_)) {
      for (const auto& [way, rules] : {std::pair("out", &layer.policy.egress),  //
                                       std::pair("in", &layer.policy.ingress)}) {
        const std::string name = StrCat("l", layer.number, "_", way);
        if (HasAddressRule(*rules, IsV6(family))) {
          script.Drop("delete set ", Set(name + std::string(family.suffix)));
        }
        if (HasTenantRule(*rules)) {
          script.Drop("delete set ", Set(StrCat(name, "t", family.suffix)));
        }
      }
    }
    layers_.erase(content);
  }
  Tenant& tenant = tenants_.at(last.tenant);
  if (--tenant.uses > 0) return;
  for (const Family& family : Families(config_)) {
    script.Drop("delete set ", Set(StrCat("tn", tenant.number, "_", family.suffix)));
  }
  tenants_.erase(last.tenant);
}

}  // namespace claw::network
