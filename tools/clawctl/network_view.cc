#include "tools/clawctl/network_view.h"

#include <absl/strings/str_join.h>

#include <algorithm>
#include <set>

#include "agent/base/bytes.h"
#include "agent/base/endpoint.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

std::string ProtocolLabel(pb::NetworkProtocol protocol) {
  return EnumLabel(pb::NetworkProtocol_Name(protocol), "NETWORK_PROTOCOL_");
}

std::string RateText(int64_t bytes_per_second) {
  return bytes_per_second > 0 ? StrCat(FormatBytes(bytes_per_second), "/s") : "no bound";
}

std::string ConnectionsText(int64_t most) { return most > 0 ? StrCat(most) : "no bound"; }

// "3 packets, 180 B".
std::string CountText(const pb::PacketCount& count) {
  return StrCat(count.packets(), " (", FormatBytes(count.bytes()), ")");
}

template <typename Rules>
std::string RulesText(const Rules& rules) {
  if (rules.empty()) return "nothing";
  return absl::StrJoin(rules, ", ", [](std::string* out, const pb::NetworkRule& rule) {
    out->append(RuleText(rule));
  });
}

template <typename Rules>
void AddRuleChanges(std::string_view way, const Rules& before, const Rules& after,
                    std::vector<std::string>& lines) {
  std::multiset<std::string> gone;
  for (const pb::NetworkRule& rule : before) gone.insert(RuleText(rule));
  for (const pb::NetworkRule& rule : after) {
    const std::string text = RuleText(rule);
    if (const auto it = gone.find(text); it != gone.end()) {
      gone.erase(it);
    } else {
      lines.push_back(StrCat("+ ", way, " ", text));
    }
  }
  for (const std::string& text : gone) lines.push_back(StrCat("- ", way, " ", text));
}

// The policies by name, "own" for the sandbox's.
std::string LayersText(const pb::SandboxNetwork& network) {
  return absl::StrJoin(network.layers(), ",", [](std::string* out, const pb::NetworkLayer& layer) {
    out->append(layer.name().empty() ? "own" : std::string(BareName(layer.name())));
  });
}

int64_t DeniedPackets(const pb::NetworkCounters& counters) {
  return counters.egress_denied().packets() + counters.ingress_denied().packets();
}

int64_t LimitedPackets(const pb::NetworkCounters& counters) {
  return counters.egress_limited().packets() + counters.ingress_limited().packets();
}

Table CounterTable(const pb::NetworkCounters& counters) {
  Table table({{"COUNTER"}, {"PACKETS"}, {"BYTES"}});
  const auto add = [&table](std::string what, const pb::PacketCount& count) {
    table.Add({std::move(what), StrCat(count.packets()), FormatBytes(count.bytes())});
  };
  add("sent", counters.sent());
  add("received", counters.received());
  add("denied to", counters.egress_denied());
  add("denied from", counters.ingress_denied());
  add("spoofed", counters.spoofed());
  add("limited to", counters.egress_limited());
  add("limited from", counters.ingress_limited());
  return table;
}

Table NameTable(const pb::SandboxNetwork& network) {
  Table table({{"NAME"}, {"ADDRESSES"}, {"PROBLEM"}});
  for (const pb::ResolvedName& name : network.names()) {
    table.Add({name.name(), absl::StrJoin(name.addresses(), ","), name.problem()});
  }
  return table;
}

}  // namespace

std::string RuleText(const pb::NetworkRule& rule) {
  Endpoint endpoint;
  switch (rule.peer_case()) {
    case pb::NetworkRule::kCidr:
      endpoint.peer = rule.cidr();
      break;
    case pb::NetworkRule::kDnsName:
      endpoint.peer = rule.dns_name();
      break;
    case pb::NetworkRule::kTenant:
      endpoint.peer = "tenant";
      break;
    case pb::NetworkRule::PEER_NOT_SET:
      endpoint.peer = "?";  // of a newer agent
      break;
  }
  for (const pb::PortRange& range : rule.ports()) {
    endpoint.ports.push_back({range.first(), std::max(range.first(), range.last())});
  }
  if (rule.protocol() == pb::NETWORK_PROTOCOL_TCP) endpoint.protocol = Protocol::kTcp;
  if (rule.protocol() == pb::NETWORK_PROTOCOL_UDP) endpoint.protocol = Protocol::kUdp;
  if (rule.protocol() == pb::NETWORK_PROTOCOL_ICMP) endpoint.protocol = Protocol::kIcmp;
  return ToString(endpoint);
}

std::string PortText(const pb::PortMapping& port) {
  const bool v6 = Contains(port.host_address(), ":");
  std::string host = v6 ? StrCat("[", port.host_address(), "]") : port.host_address();
  if (!host.empty()) host += ":";
  const auto protocol = port.protocol() == pb::NETWORK_PROTOCOL_UNSPECIFIED
                            ? pb::NETWORK_PROTOCOL_TCP
                            : port.protocol();
  return StrCat(host, port.host_port(), " -> ", port.sandbox_port(), "/", ProtocolLabel(protocol));
}

std::string AddressText(const pb::NetworkStatus& status, std::string_view separator) {
  std::vector<std::string> addresses;
  for (const std::string& one : {status.ipv4_address(), status.ipv6_address()}) {
    if (!one.empty()) addresses.push_back(one);
  }
  return Join(addresses, separator);
}

std::string NetworkText(const pb::NetworkStatus& status) {
  std::string text = EnumLabel(pb::NetworkMode_Name(status.mode()), "NETWORK_MODE_");
  if (const std::string addresses = AddressText(status); !addresses.empty()) {
    text += StrCat(", ", addresses);
  }
  if (!status.host_interface().empty()) {
    text += StrCat(", ", status.host_interface(), " at ", status.bridge());
  }
  return text;
}

void AddPolicy(const pb::NetworkPolicy& policy, Fields& fields) {
  fields.Add("Allowed to", RulesText(policy.egress()));
  fields.Add("Allowed from", RulesText(policy.ingress()));
  fields.Add("DNS", policy.dns() ? "the node's servers" : "none");
  fields.Add("Egress rate", RateText(policy.egress_bytes_per_second()));
  fields.Add("Ingress rate", RateText(policy.ingress_bytes_per_second()));
  fields.Add("Connections", ConnectionsText(policy.connections_max()));
}

std::vector<std::string> PolicyChanges(const pb::NetworkPolicy& before,
                                       const pb::NetworkPolicy& after) {
  std::vector<std::string> lines;
  AddRuleChanges("to", before.egress(), after.egress(), lines);
  AddRuleChanges("from", before.ingress(), after.ingress(), lines);
  const auto change = [&lines](std::string_view what, const std::string& from,
                               const std::string& to) {
    if (from != to) lines.push_back(StrCat("  ", what, ": ", from, " -> ", to));
  };
  change("dns", before.dns() ? "yes" : "no", after.dns() ? "yes" : "no");
  // In bytes where the rounded figures would look alike.
  const auto rate = [&change](std::string_view what, int64_t from, int64_t to) {
    const bool alike = from != to && RateText(from) == RateText(to);
    change(what, alike ? StrCat(from, " B/s") : RateText(from),
           alike ? StrCat(to, " B/s") : RateText(to));
  };
  rate("egress rate", before.egress_bytes_per_second(), after.egress_bytes_per_second());
  rate("ingress rate", before.ingress_bytes_per_second(), after.ingress_bytes_per_second());
  change("connections", ConnectionsText(before.connections_max()),
         ConnectionsText(after.connections_max()));
  return lines;
}

Table PolicyTable(const Context& context, const std::vector<pb::NamedNetworkPolicy>& policies) {
  Table table({{"NAME"},
               {"TENANTS"},
               {"TO"},
               {"FROM"},
               {"DNS"},
               {"EGRESS-RATE"},
               {"INGRESS-RATE"},
               {"CONNECTIONS"},
               {.title = "ALLOWED-TO", .wide = true},
               {.title = "ALLOWED-FROM", .wide = true},
               {.title = "CHANGED", .wide = true},
               {"AGE"}});
  for (const pb::NamedNetworkPolicy& named : policies) {
    const pb::NetworkPolicy& policy = named.policy();
    table.Add(
        {std::string(BareName(named.name())), StrCat(named.tenants_size()),
         StrCat(policy.egress_size()), StrCat(policy.ingress_size()), policy.dns() ? "yes" : "no",
         RateText(policy.egress_bytes_per_second()), RateText(policy.ingress_bytes_per_second()),
         ConnectionsText(policy.connections_max()), RulesText(policy.egress()),
         RulesText(policy.ingress()), context.AgeOf(named.has_update_time(), named.update_time()),
         context.AgeOf(named.has_create_time(), named.create_time())});
  }
  return table;
}

Table NetworkTable(const std::vector<pb::SandboxNetwork>& networks) {
  Table table({{"ID"},
               {"NAME"},
               {"TENANT"},
               {"MODE"},
               {"ADDRESS"},
               {"POLICIES"},
               {"SENT"},
               {"RECEIVED"},
               {"DENIED"},
               {"SPOOFED"},
               {"LIMITED"},
               {.title = "MAC", .wide = true},
               {.title = "INTERFACE", .wide = true},
               {.title = "BRIDGE", .wide = true},
               {.title = "PORTS", .wide = true}});
  for (const pb::SandboxNetwork& network : networks) {
    const pb::NetworkStatus& status = network.status();
    const pb::NetworkCounters& counters = network.counters();
    table.Add(
        {ShortId(BareName(network.name())), network.display_name(),
         std::string(BareName(network.tenant())),
         EnumLabel(pb::NetworkMode_Name(status.mode()), "NETWORK_MODE_"), AddressText(status, ","),
         LayersText(network), CountText(counters.sent()), CountText(counters.received()),
         StrCat(DeniedPackets(counters)), StrCat(counters.spoofed().packets()),
         StrCat(LimitedPackets(counters)), status.mac_address(), status.host_interface(),
         status.bridge(),
         absl::StrJoin(network.ports(), ",", [](std::string* out, const pb::PortMapping& port) {
           out->append(PortText(port));
         })});
  }
  return table;
}

std::string DescribeNetwork(const Context& context, const pb::SandboxNetwork& network, bool wide) {
  const pb::NetworkStatus& status = network.status();
  Fields fields;
  fields.Add("Sandbox", StrCat(BareName(network.name()), " ", network.display_name()));
  fields.Add("Tenant", std::string(BareName(network.tenant())));
  fields.Add("Mode", EnumLabel(pb::NetworkMode_Name(status.mode()), "NETWORK_MODE_"));
  fields.Add("Addresses", AddressText(status));
  fields.Add("MAC", status.mac_address());
  fields.Add("Interface", status.host_interface());
  fields.Add("Bridge", status.bridge());
  for (const pb::PortMapping& port : network.ports()) fields.Add("Port", PortText(port));
  std::string text = fields.Render();
  if (network.layers().empty()) text += "\nNo policy allows anything: everything is denied.\n";
  if (network.layers_size() > 1) text += "\nWhat passes is allowed by each of these policies.\n";
  for (const pb::NetworkLayer& layer : network.layers()) {
    Fields policy;
    policy.Add("Policy",
               layer.name().empty() ? "the sandbox's own" : std::string(BareName(layer.name())));
    AddPolicy(layer.policy(), policy);
    text += StrCat("\n", policy.Render());
  }
  const bool color = context.UsesColor();
  text += StrCat("\n", CounterTable(network.counters()).Render(wide, color));
  if (!network.names().empty()) text += StrCat("\n", NameTable(network).Render(wide, color));
  return text;
}

}  // namespace claw::ctl
