#include "drivers/network/frame.h"

#include "agent/base/strings.h"
#include "drivers/network/elements.h"
#include "drivers/network/subnets.h"

namespace claw::network {
namespace {

// Before the host's own filters, behind its DNAT: what is judged is what really travels.
constexpr int kInetPriority = -5;
constexpr int kNatPriority = 100;
constexpr int kBridgePriority = -300;

// Whom no policy reaches, beside the host and other tenants.
constexpr std::string_view kDenied[] = {
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
    "::1",       "::/128",      "fe80::/10",      "ff00::/8",    "fd00:ec2::254"};

std::vector<IpPrefix> DeniedPrefixes(const NetworkConfig& config) {
  std::vector<IpPrefix> denied = config.denied;
  for (const std::string_view text : kDenied) {
    if (const auto prefix = ParseIpPrefix(text); prefix.ok()) denied.push_back(*prefix);
  }
  return denied;
}

class FrameMaker {
 public:
  FrameMaker(const NetworkConfig& config, Script& script)
      : config_(config),
        script_(script),
        inet_(StrCat("inet ", config.name)),
        bridge_(StrCat("bridge ", config.name)),
        ours_(StrCat("\"", config.name, "*\"")) {}

  std::vector<Hook> Make() {
    for (const std::string& table : {inet_, bridge_}) {
      // Deleting what is not there would fail.
      script_.Make("add table ", table);
      script_.Make("delete table ", table);
      script_.Make("add table ", table);
    }
    script_.Make("add counter ", inet_, " strays");
    for (const Family& family : Families(config_)) MakeSets(family);
    for (const std::string_view chain : {"deny_from", "deny_to", "limited_from", "limited_to",
                                         "from_sandbox", "to_sandbox", "passed_to"}) {
      script_.Make("add chain ", inet_, " ", chain);
    }
    MakeVerdicts();
    MakeJudges();
    MakeHooks();
    MakeNat();
    MakeBridge();
    return std::move(hooks_);
  }

 private:
  void MakeSets(const Family& family) {
    const bool v6 = family.suffix == "6";
    const std::string table = inet_ + " ";
    const auto set = [&](std::string_view name, std::string_view about) {
      script_.Make("add set ", table, name, family.suffix, " { type ", family.type, "; ", about,
                   " }");
    };
    for (const std::string_view map : {"from", "to"}) {
      script_.Make("add map ", table, map, family.suffix, " { type ", family.type, " : verdict; }");
    }
    for (const std::string_view name : {"received", "dfrom", "dto", "lfrom", "lto"}) {
      set(name, "counter;");
    }
    // With a name, since the kernel looks through all sets for each new one.
    script_.Make("add set ", table, "errors", family.suffix, " { type icmp", v6 ? "v6" : "",
                 "_type; }");
    for (const std::string_view type :
         {"destination-unreachable", "time-exceeded", "parameter-problem"}) {
      script_.PutElement(StrCat(table, "errors", family.suffix), std::string(type));
    }
    if (v6) script_.PutElement(table + "errors6", "packet-too-big");
    set("asks", "");
    set("pool", "flags interval;");
    set("denied", "flags interval;");
    const std::string services = StrCat(" { type ", family.type, " . inet_proto . inet_service;");
    script_.Make("add set ", table, "dns", family.suffix, services, " }");
    script_.Make("add set ", table, "except", family.suffix, services, " flags interval; }");
    for (const Subnet& subnet : CutRange(config_)) {
      script_.PutElement(StrCat(table, "pool", family.suffix),
                         v6 ? SandboxRange6(subnet) : SandboxRange4(subnet));
    }
    for (const IpPrefix& prefix : Outermost(DeniedPrefixes(config_), v6)) {
      script_.PutElement(StrCat(table, "denied", family.suffix), ToString(prefix));
    }
    for (const SetElement& element : Elements(config_.exceptions, v6)) {
      script_.PutElement(StrCat(table, "except", family.suffix), ElementText(element));
    }
    for (const std::string& server : config_.dns_servers) {
      const auto address = ParseIpAddress(server);
      if (!address.ok() || address->v6 != v6) continue;
      for (const int protocol : {6, 17}) {
        script_.PutElement(StrCat(table, "dns", family.suffix),
                           StrCat(server, " . ", protocol, " . ", config_.dns_port));
      }
    }
    script_.Make("add chain ", table, "never", family.suffix);
    script_.Make("add chain ", table, "never_back", family.suffix);
  }

  // A rule that matches a set with counters counts, and goes on to the next.
  void Count(std::string_view chain, std::string_view field, std::string_view set) {
    for (const Family& family : Families(config_)) {
      Rule(chain, family.ip, " ", field, " @", set, family.suffix);
    }
  }

  template <typename... Parts>
  void Rule(std::string_view chain, const Parts&... parts) {
    script_.Make("add rule ", inet_, " ", chain, " ", parts...);
    for (Hook& hook : hooks_) {
      if (hook.family == "inet" && hook.chain == chain) ++hook.rules;
    }
  }

  template <typename... Parts>
  void BridgeRule(std::string_view chain, const Parts&... parts) {
    script_.Make("add rule ", bridge_, " ", chain, " ", parts...);
    for (Hook& hook : hooks_) {
      if (hook.family == "bridge" && hook.chain == chain) ++hook.rules;
    }
  }

  void HookChain(std::string_view family, std::string_view chain, std::string_view type, int number,
                 int priority) {
    static constexpr std::string_view kNames[] = {"prerouting", "input", "forward", "output",
                                                  "postrouting"};
    script_.Make("add chain ", family, " ", config_.name, " ", chain, " { type ", type, " hook ",
                 kNames[number], " priority ", priority, "; policy accept; }");
    hooks_.push_back({.family = std::string(family),
                      .chain = std::string(chain),
                      .number = number,
                      .priority = priority});
  }

  void MakeVerdicts() {
    Count("deny_from", "saddr", "dfrom");
    Count("deny_to", "daddr", "dto");
    for (const std::string_view way : {"from", "to"}) {
      Rule(StrCat("deny_", way), "limit rate 50/second burst 50 packets log prefix \"clawlet ", way,
           "\" group ", kLogGroup, " snaplen 128");
      Rule(StrCat("deny_", way), "drop");
    }
    Count("limited_from", "saddr", "lfrom");
    Rule("limited_from", "drop");
    Count("limited_to", "daddr", "lto");
    Rule("limited_to", "drop");
  }

  // A packet on its way while a transaction takes effect is judged by the rules of before it and
  // the elements of after it: it may be sent to a chain that is still empty to it. So coming back
  // from a chain never means yes. (And each end has a hook of its own: the kernel follows every way
  // through the chains when it checks them, and would follow all of one end for each of the other.)
  void MakeJudges() {
    for (const Family& family : Families(config_)) {
      const std::string_view ip = family.ip;
      Rule(StrCat("never", family.suffix), ip, " daddr . meta l4proto . th dport @except",
           family.suffix, " return");
      Rule(StrCat("never", family.suffix), "goto deny_from");
      Rule(StrCat("never_back", family.suffix), ip, " saddr . meta l4proto . th sport @except",
           family.suffix, " return");
      Rule(StrCat("never_back", family.suffix), "goto deny_to");
      Rule("from_sandbox", ip, " saddr vmap @from", family.suffix);
      Rule("to_sandbox", ip, " daddr vmap @to", family.suffix);
    }
    Rule("from_sandbox", "counter name strays drop");
    Rule("to_sandbox", "counter name strays drop");
    Count("passed_to", "daddr", "received");
    Rule("passed_to", "accept");
  }

  void MakeHooks() {
    // Bridges hand frames to some of their own addresses (01:80:c2:00:00:0e) to the host without
    // asking anybody, as packets that came by the port. Nothing else comes by a port.
    script_.Make("add set ", inet_, " astray { type ifname; counter; }");
    HookChain("inet", "prerouting", "filter", 0, kBridgePriority);
    Rule("prerouting", "iifname @astray drop");

    HookChain("inet", "forward", "filter", 2, kInetPriority);
    Rule("forward", "iifname != ", ours_, " oifname != ", ours_, " accept");
    Rule("forward", "ct state invalid,untracked iifname ", ours_, " goto deny_from");
    Rule("forward", "ct state invalid,untracked drop");
    Rule("forward", "iifname ", ours_, " goto from_sandbox");

    HookChain("inet", "forward_to", "filter", 2, kInetPriority + 1);
    Rule("forward_to", "oifname ", ours_, " goto to_sandbox");

    HookChain("inet", "input", "filter", 1, kInetPriority);
    Rule("input", "iifname != ", ours_, " accept");
    // Connection tracking leaves these alone.
    Rule("input", "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept");
    Rule("input", "ct state invalid,untracked goto deny_from");
    Rule("input", "ct direction reply goto from_sandbox");
    for (const Family& family : Families(config_)) {
      const std::string service = StrCat(family.ip, " daddr . meta l4proto . th dport @");
      Rule("input", service, "except", family.suffix, " goto from_sandbox");
      Rule("input", family.ip, " saddr @asks", family.suffix, " ", service, "dns", family.suffix,
           " goto from_sandbox");
    }
    Rule("input", "goto deny_from");

    HookChain("inet", "output", "filter", 3, kInetPriority);
    Rule("output", "oifname != ", ours_, " accept");
    Rule("output", "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept");
    // A sandbox has one way only, whatever the host thinks of its choice.
    Rule("output", "icmp type redirect drop");
    Rule("output", "icmpv6 type nd-redirect drop");
    Rule("output", "ct state invalid,untracked drop");
    Rule("output", "goto to_sandbox");
  }

  void MakeNat() {
    HookChain("inet", "postrouting", "nat", 4, kNatPriority);
    if (!config_.masquerade) return;
    for (const Family& family : Families(config_)) {
      Rule("postrouting", family.ip, " saddr @pool", family.suffix, " oifname != ", ours_,
           " masquerade");
    }
  }

  void MakeBridge() {
    const std::string table = bridge_ + " ";
    for (const Family& family : Families(config_)) {
      script_.Make("add set ", table, "speakers", family.suffix, " { type ifname . ether_addr . ",
                   family.type, "; counter; }");
    }
    script_.Make("add set ", table,
                 "arp4 { typeof meta iifname . ether saddr . arp saddr ether . arp saddr ip; }");
    script_.Make("add set ", table, "ports { type ifname; }");
    script_.Make("add set ", table, "spoofed { type ifname; counter; }");
    script_.Make("add chain ", table, "identity");
    // What Linux says of itself on any interface.
    BridgeRule("identity", "ip6 saddr :: drop");
    BridgeRule("identity",
               "icmpv6 type { nd-router-solicit, mld-listener-query, mld-listener-report, "
               "mld-listener-done, mld2-listener-report } drop");
    for (const Family& family : Families(config_)) {
      BridgeRule("identity", "ether type ", family.ip, " iifname . ether saddr . ", family.ip,
                 " saddr @speakers", family.suffix, " accept");
    }
    BridgeRule("identity",
               "ether type arp iifname . ether saddr . arp saddr ether . arp saddr ip @arp4 "
               "accept");
    BridgeRule("identity", "iifname @spoofed");
    BridgeRule("identity", "drop");

    // (The name of the bridge would tell its ports too, but not every kernel can look at it. Before
    // and after it is in this set, a port is kept from the others by the bridge alone.)
    HookChain("bridge", "prerouting", "filter", 0, kBridgePriority);
    BridgeRule("prerouting", "iifname @ports jump identity");
    // Others of these addresses pass here at least.
    HookChain("bridge", "input", "filter", 1, kBridgePriority);
    const std::string_view reserved = "ether daddr 01:80:c2:00:00:00-01:80:c2:00:00:0f";
    BridgeRule("input", reserved, " iifname @spoofed drop");
    // No way from one to another but through the rules above.
    HookChain("bridge", "forward", "filter", 2, kBridgePriority);
    BridgeRule("forward", "iifname @ports drop");
    BridgeRule("forward", "oifname @ports drop");
  }

  const NetworkConfig& config_;
  Script& script_;
  const std::string inet_;
  const std::string bridge_;
  const std::string ours_;
  std::vector<Hook> hooks_;
};

}  // namespace

std::vector<Family> Families(const NetworkConfig& config) {
  if (config.ipv6_range) return {kFamily4, kFamily6};
  return {kFamily4};
}

std::vector<Hook> MakeFrame(const NetworkConfig& config, Script& script) {
  return FrameMaker(config, script).Make();
}

}  // namespace claw::network
