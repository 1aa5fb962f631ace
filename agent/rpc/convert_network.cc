#include "agent/rpc/convert_network.h"

#include <algorithm>

#include "agent/rpc/convert.h"
#include "agent/rpc/names.h"

namespace claw::rpc {
namespace {

// Longer than any address or prefix is.
constexpr size_t kMaxAddressBytes = 64;
constexpr size_t kMaxNameBytes = 254;  // with a dot at the end

// What an error may repeat.
bool IsShowable(std::string_view text, size_t max_bytes) {
  return text.size() <= max_bytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

Status UnknownValue(std::string_view field, int value) {
  return BadField(field, StrCat("has the value ", value, ", which this node does not know"));
}

StatusOr<Protocol> FromProto(pb::NetworkProtocol protocol, Protocol unspecified,
                             std::string_view field) {
  switch (protocol) {
    case pb::NETWORK_PROTOCOL_UNSPECIFIED:
      return unspecified;
    case pb::NETWORK_PROTOCOL_TCP:
      return Protocol::kTcp;
    case pb::NETWORK_PROTOCOL_UDP:
      return Protocol::kUdp;
    case pb::NETWORK_PROTOCOL_ICMP:
      return Protocol::kIcmp;
    default:
      return UnknownValue(field, static_cast<int>(protocol));
  }
}

pb::NetworkProtocol ToProto(Protocol protocol) {
  switch (protocol) {
    case Protocol::kAny:
      return pb::NETWORK_PROTOCOL_UNSPECIFIED;
    case Protocol::kTcp:
      return pb::NETWORK_PROTOCOL_TCP;
    case Protocol::kUdp:
      return pb::NETWORK_PROTOCOL_UDP;
    case Protocol::kIcmp:
      return pb::NETWORK_PROTOCOL_ICMP;
  }
  return pb::NETWORK_PROTOCOL_UNSPECIFIED;
}

StatusOr<std::optional<NetworkMode>> FromProto(pb::NetworkMode mode, std::string_view field) {
  switch (mode) {
    case pb::NETWORK_MODE_UNSPECIFIED:
      return std::nullopt;
    case pb::NETWORK_MODE_NONE:
      return NetworkMode::kNone;
    case pb::NETWORK_MODE_BRIDGE:
      return NetworkMode::kBridge;
    default:
      return UnknownValue(field, static_cast<int>(mode));
  }
}

pb::NetworkMode ToProto(NetworkMode mode) {
  return mode == NetworkMode::kBridge ? pb::NETWORK_MODE_BRIDGE : pb::NETWORK_MODE_NONE;
}

Status SetCidr(const std::string& text, std::string_view field, NetworkRule& rule) {
  if (!IsShowable(text, kMaxAddressBytes)) return BadField(field, "is no range of IP addresses");
  const StatusOr<IpPrefix> prefix = ParseIpPrefix(text);
  if (!prefix.ok()) return BadField(field, StrCat("is wrong: ", prefix.status().message()));
  rule.kind = PeerKind::kPrefix;
  rule.prefix = *prefix;
  return absl::OkStatus();
}

// Spelled as it is kept; what is no name at all is told by ValidateNetworkPolicy.
Status SetName(const std::string& text, std::string_view field, NetworkRule& rule) {
  if (!IsShowable(text, kMaxNameBytes)) return BadField(field, "is no DNS name");
  // A name that would read as something else where rules are text.
  const StatusOr<NetworkRule> parsed = ParseNetworkRule(text);
  if (!parsed.ok() || parsed->kind != PeerKind::kName || !parsed->ports.empty() ||
      parsed->protocol != Protocol::kAny) {
    return BadField(field, StrCat("is '", text, "', which is no DNS name"));
  }
  rule.kind = PeerKind::kName;
  rule.name = parsed->name;
  return absl::OkStatus();
}

StatusOr<NetworkRule> FromProto(const pb::NetworkRule& proto, std::string_view field) {
  NetworkRule rule;
  switch (proto.peer_case()) {
    case pb::NetworkRule::kCidr:
      RETURN_IF_ERROR(SetCidr(proto.cidr(), StrCat(field, ".cidr"), rule));
      break;
    case pb::NetworkRule::kDnsName:
      RETURN_IF_ERROR(SetName(proto.dns_name(), StrCat(field, ".dns_name"), rule));
      break;
    case pb::NetworkRule::kTenant:
      rule.kind = PeerKind::kTenant;
      break;
    case pb::NetworkRule::PEER_NOT_SET:
      return BadField(field,
                      "names no peer: cidr, dns_name or tenant, or one that is newer than "
                      "this node");
  }
  for (const pb::PortRange& range : proto.ports()) {
    if (rule.ports.size() == kMaxRulePorts) {
      return BadField(StrCat(field, ".ports"), StrCat("are more than ", kMaxRulePorts));
    }
    rule.ports.push_back({range.first(), range.last() == 0 ? range.first() : range.last()});
  }
  const Protocol unspecified = rule.ports.empty() ? Protocol::kAny : Protocol::kTcp;
  ASSIGN_OR_RETURN(rule.protocol,
                   FromProto(proto.protocol(), unspecified, StrCat(field, ".protocol")));
  return rule;
}

template <typename Rules>
StatusOr<std::vector<NetworkRule>> RulesFromProto(const Rules& protos, const std::string& field) {
  if (static_cast<size_t>(protos.size()) > kMaxRules) {
    return BadField(field, StrCat("has ", protos.size(), " rules; at most ", kMaxRules));
  }
  std::vector<NetworkRule> rules;
  for (const pb::NetworkRule& proto : protos) {
    ASSIGN_OR_RETURN(NetworkRule rule, FromProto(proto, StrCat(field, "[", rules.size(), "]")));
    rules.push_back(std::move(rule));
  }
  return rules;
}

pb::NetworkRule ToProto(const NetworkRule& rule) {
  pb::NetworkRule proto;
  if (rule.kind == PeerKind::kPrefix) proto.set_cidr(ToString(rule.prefix));
  if (rule.kind == PeerKind::kName) proto.set_dns_name(rule.name);
  if (rule.kind == PeerKind::kTenant) proto.mutable_tenant();
  for (const PortRange& range : rule.ports) {
    pb::PortRange* out = proto.add_ports();
    out->set_first(range.first);
    out->set_last(range.last);
  }
  proto.set_protocol(ToProto(rule.protocol));
  return proto;
}

pb::PortMapping ToProto(const PortMapping& port) {
  pb::PortMapping proto;
  proto.set_host_port(port.host_port);
  proto.set_sandbox_port(port.sandbox_port);
  proto.set_protocol(ToProto(port.protocol));
  proto.set_host_address(port.host_address);
  return proto;
}

void SetCount(const network::PacketCount& count, pb::PacketCount* out) {
  out->set_packets(count.packets);
  out->set_bytes(count.bytes);
}

}  // namespace

StatusOr<NetworkPolicy> FromProto(const pb::NetworkPolicy& proto, std::string_view field) {
  NetworkPolicy policy;
  ASSIGN_OR_RETURN(policy.egress, RulesFromProto(proto.egress(), StrCat(field, ".egress")));
  ASSIGN_OR_RETURN(policy.ingress, RulesFromProto(proto.ingress(), StrCat(field, ".ingress")));
  policy.egress_bytes_per_second = proto.egress_bytes_per_second();
  policy.ingress_bytes_per_second = proto.ingress_bytes_per_second();
  policy.connections_max = proto.connections_max();
  policy.dns = proto.dns();
  RETURN_IF_ERROR(ValidateNetworkPolicy(policy, field));
  return policy;
}

StatusOr<NetworkSpec> FromProto(const pb::NetworkSpec& proto, std::string_view field) {
  NetworkSpec spec;
  ASSIGN_OR_RETURN(spec.mode, FromProto(proto.mode(), StrCat(field, ".mode")));
  if (proto.has_policy()) {
    ASSIGN_OR_RETURN(spec.policy, FromProto(proto.policy(), StrCat(field, ".policy")));
  }
  if (static_cast<size_t>(proto.ports_size()) > kMaxPortMappings) {
    return BadField(StrCat(field, ".ports"), StrCat("are more than ", kMaxPortMappings));
  }
  for (const pb::PortMapping& port : proto.ports()) {
    const std::string at = StrCat(field, ".ports[", spec.ports.size(), "].protocol");
    ASSIGN_OR_RETURN(const Protocol protocol, FromProto(port.protocol(), Protocol::kTcp, at));
    spec.ports.push_back({.host_port = port.host_port(),
                          .sandbox_port = port.sandbox_port(),
                          .protocol = protocol,
                          .host_address = port.host_address()});
  }
  return spec;
}

pb::NetworkPolicy ToProto(const NetworkPolicy& policy) {
  pb::NetworkPolicy proto;
  for (const NetworkRule& rule : policy.egress) *proto.add_egress() = ToProto(rule);
  for (const NetworkRule& rule : policy.ingress) *proto.add_ingress() = ToProto(rule);
  proto.set_egress_bytes_per_second(policy.egress_bytes_per_second);
  proto.set_ingress_bytes_per_second(policy.ingress_bytes_per_second);
  proto.set_connections_max(policy.connections_max);
  proto.set_dns(policy.dns);
  return proto;
}

pb::NetworkSpec ToProto(const NetworkSpec& spec) {
  pb::NetworkSpec proto;
  if (spec.mode) proto.set_mode(ToProto(*spec.mode));
  if (spec.policy) *proto.mutable_policy() = ToProto(*spec.policy);
  for (const PortMapping& port : spec.ports) *proto.add_ports() = ToProto(port);
  return proto;
}

pb::NamedNetworkPolicy ToProto(const NamedNetworkPolicy& named) {
  pb::NamedNetworkPolicy proto;
  proto.set_name(StrCat("networkPolicies/", named.name));
  *proto.mutable_policy() = ToProto(named.policy);
  if (named.created_at != Time{}) SetTime(named.created_at, proto.mutable_create_time());
  if (named.updated_at != Time{}) SetTime(named.updated_at, proto.mutable_update_time());
  return proto;
}

pb::NetworkStatus NetworkStatusOf(const Sandbox& sandbox) {
  pb::NetworkStatus proto;
  proto.set_mode(ToProto(sandbox.network_mode));
  if (!sandbox.network) return proto;
  proto.set_ipv4_address(sandbox.network->ipv4);
  proto.set_ipv6_address(sandbox.network->ipv6);
  proto.set_mac_address(sandbox.network->mac);
  proto.set_host_interface(sandbox.network->host_interface);
  proto.set_bridge(sandbox.network->bridge);
  return proto;
}

pb::SandboxNetwork ToProto(const lifecycle::NetworkView& view) {
  pb::SandboxNetwork proto;
  proto.set_name(SandboxName(view.sandbox.id));
  proto.set_display_name(view.sandbox.spec.display_name);
  proto.set_tenant(StrCat("tenants/", view.sandbox.spec.tenant));
  *proto.mutable_status() = NetworkStatusOf(view.sandbox);
  for (const network::NetworkPlan::Layer& layer : view.layers) {
    pb::NetworkLayer* out = proto.add_layers();
    if (!layer.name.empty()) out->set_name(StrCat("networkPolicies/", layer.name));
    *out->mutable_policy() = ToProto(layer.policy);
  }
  pb::NetworkCounters* counters = proto.mutable_counters();
  SetCount(view.counters.sent, counters->mutable_sent());
  SetCount(view.counters.received, counters->mutable_received());
  SetCount(view.counters.egress_denied, counters->mutable_egress_denied());
  SetCount(view.counters.ingress_denied, counters->mutable_ingress_denied());
  SetCount(view.counters.spoofed, counters->mutable_spoofed());
  SetCount(view.counters.egress_limited, counters->mutable_egress_limited());
  SetCount(view.counters.ingress_limited, counters->mutable_ingress_limited());
  for (const network::ResolvedName& name : view.names) {
    pb::ResolvedName* out = proto.add_names();
    out->set_name(name.name);
    out->mutable_addresses()->Assign(name.addresses.begin(), name.addresses.end());
    out->set_problem(name.problem);
  }
  for (const PortMapping& port : view.sandbox.spec.network.ports) {
    *proto.add_ports() = ToProto(port);
  }
  return proto;
}

}  // namespace claw::rpc
