#include "agent/model/network.h"

#include <absl/strings/escaping.h>

#include <algorithm>

#include "agent/base/strings.h"
#include "agent/model/validate.h"

namespace claw {
namespace {

constexpr std::string_view kTenantPeer = "tenant";

bool IsLabel(std::string_view label) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::all_of(label.begin(), label.end(), fits);
}

// "080" and "0x1f" count: some resolvers take a name that ends so for an address.
bool LooksLikeNumber(std::string_view label) {
  const bool hex = label.starts_with("0x");
  return label.substr(hex ? 2 : 0).find_first_not_of(hex ? "0123456789abcdef" : "0123456789") ==
         std::string_view::npos;
}

// What a resolver may be asked: RFC 1035's form, with the underscore that services use. Names whose
// last label is a number would be read as addresses.
Status ValidateDnsName(std::string_view field, std::string_view name) {
  if (name.empty() || name.size() > 253) {
    return BadValue(field, "has a DNS name that is not of 1 to 253 characters");
  }
  const std::vector<std::string_view> labels = Split(name, '.');
  if (!std::all_of(labels.begin(), labels.end(), IsLabel) || LooksLikeNumber(labels.back())) {
    return BadValue(field, StrCat("has '", absl::CHexEscape(ToAbsl(name)),
                                  "', which is neither addresses nor a DNS name"));
  }
  if (name == kTenantPeer) {
    return BadValue(field,
                    "has the DNS name 'tenant', which stands for the tenant's own sandboxes");
  }
  return absl::OkStatus();
}

std::string LowerName(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (lower.ends_with('.')) lower.pop_back();
  return lower;
}

Status ValidateRule(const NetworkRule& rule, bool egress, std::string_view field) {
  if (rule.kind == PeerKind::kName) {
    if (!egress) return BadValue(field, "names a DNS name; who calls is known by its address");
    RETURN_IF_ERROR(ValidateDnsName(field, rule.name));
  }
  if (rule.kind == PeerKind::kPrefix) {
    const int width = rule.prefix.address.v6 ? 128 : 32;
    if (rule.prefix.bits < 0 || rule.prefix.bits > width) {
      return BadValue(field, "has a prefix of an impossible length");
    }
  }
  if (rule.ports.size() > kMaxRulePorts) {
    return BadValue(field, StrCat("has a rule of more than ", kMaxRulePorts, " ranges of ports"));
  }
  for (const PortRange& range : rule.ports) {
    if (range.first < 1 || range.last > 65535 || range.last < range.first) {
      return BadValue(field, "has ports outside of 1 to 65535, or backwards");
    }
  }
  if (!rule.ports.empty() && rule.protocol != Protocol::kTcp && rule.protocol != Protocol::kUdp) {
    return BadValue(field, "has ports, which only tcp and udp have");
  }
  // It is recorded as text: what would read back as another rule must not come in.
  const StatusOr<NetworkRule> back = ParseNetworkRule(ToString(rule));
  if (back.ok() && *back == rule) return absl::OkStatus();
  return BadValue(field, StrCat("has the rule '", ToString(rule), "', which does not mean what it ",
                                "says: ", back.ok() ? "" : back.status().message()));
}

Status ValidateRules(const std::vector<NetworkRule>& rules, bool egress, std::string_view field) {
  if (rules.size() > kMaxRules) {
    return BadValue(field, StrCat("has ", rules.size(), " rules; at most ", kMaxRules));
  }
  for (size_t i = 0; i < rules.size(); ++i) {
    RETURN_IF_ERROR(ValidateRule(rules[i], egress, StrCat(field, "[", i, "]")));
  }
  return absl::OkStatus();
}

Status ValidateRate(int64_t bytes_per_second, std::string_view field) {
  if (bytes_per_second == 0) return absl::OkStatus();
  return ValidateRange(field, bytes_per_second, kMinBytesPerSecond, kMaxBytesPerSecond,
                       " bytes per second");
}

constexpr size_t kMaxAddressBytes = 64;

Status ValidatePort(const PortMapping& port, std::string_view field) {
  RETURN_IF_ERROR(ValidateRange(StrCat(field, ".host_port"), port.host_port, 1, 65535, ""));
  RETURN_IF_ERROR(ValidateRange(StrCat(field, ".sandbox_port"), port.sandbox_port, 1, 65535, ""));
  if (port.protocol != Protocol::kTcp && port.protocol != Protocol::kUdp) {
    return BadValue(StrCat(field, ".protocol"), "has to be tcp or udp");
  }
  const std::string& address = port.host_address;
  if (address.empty()) return absl::OkStatus();
  if (address.size() > kMaxAddressBytes || !ParseIpAddress(address).ok()) {
    return BadValue(StrCat(field, ".host_address"), "is not an IP address");
  }
  return absl::OkStatus();
}

// Both are valid. No address, and the address that stands for all, is every one of the host's.
bool Collide(const PortMapping& a, const PortMapping& b) {
  if (a.host_port != b.host_port || a.protocol != b.protocol) return false;
  if (a.host_address.empty() || b.host_address.empty()) return true;
  const IpAddress one = ParseIpAddress(a.host_address).value();
  const IpAddress other = ParseIpAddress(b.host_address).value();
  if (one.v6 != other.v6) return false;
  const IpAddress all{.v6 = one.v6, .bytes = {}};
  return one == other || one == all || other == all;
}

}  // namespace

std::string_view ToString(NetworkMode mode) {
  return mode == NetworkMode::kBridge ? "bridge" : "none";
}

StatusOr<NetworkMode> ParseNetworkMode(std::string_view text) {
  if (text == "none") return NetworkMode::kNone;
  if (text == "bridge") return NetworkMode::kBridge;
  return InvalidArgument("'", text, "' is not a way to be connected: none or bridge");
}

StatusOr<NetworkRule> ParseNetworkRule(std::string_view text) {
  ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(text));
  NetworkRule rule{.ports = endpoint.ports, .protocol = endpoint.protocol};
  if (endpoint.peer == kTenantPeer) {
    rule.kind = PeerKind::kTenant;
    return rule;
  }
  const StatusOr<IpPrefix> prefix = ParseIpPrefix(endpoint.peer);
  if (prefix.ok()) {
    rule.prefix = *prefix;
    return rule;
  }
  const bool like_prefix = endpoint.peer.find_first_of("/:") != std::string::npos;
  rule.kind = PeerKind::kName;
  rule.name = LowerName(endpoint.peer);
  if (like_prefix || !ValidateDnsName("peer", rule.name).ok()) {
    return like_prefix ? prefix.status() : ValidateDnsName("peer", rule.name);
  }
  return rule;
}

std::string ToString(const NetworkRule& rule) {
  Endpoint endpoint{.ports = rule.ports, .protocol = rule.protocol};
  if (rule.kind == PeerKind::kTenant) endpoint.peer = kTenantPeer;
  if (rule.kind == PeerKind::kName) endpoint.peer = rule.name;
  if (rule.kind == PeerKind::kPrefix) endpoint.peer = ToString(rule.prefix);
  return ToString(endpoint);
}

Status ValidateNetworkPolicy(const NetworkPolicy& policy, std::string_view field) {
  RETURN_IF_ERROR(ValidateRules(policy.egress, true, StrCat(field, ".egress")));
  RETURN_IF_ERROR(ValidateRules(policy.ingress, false, StrCat(field, ".ingress")));
  RETURN_IF_ERROR(
      ValidateRate(policy.egress_bytes_per_second, StrCat(field, ".egress_bytes_per_second")));
  RETURN_IF_ERROR(
      ValidateRate(policy.ingress_bytes_per_second, StrCat(field, ".ingress_bytes_per_second")));
  return ValidateRange(StrCat(field, ".connections_max"), policy.connections_max, 0,
                       kMaxConnections, " connections");
}

Status ValidateNetworkSpec(const NetworkSpec& spec) {
  if (spec.policy) RETURN_IF_ERROR(ValidateNetworkPolicy(*spec.policy, "network.policy"));
  if (spec.mode == NetworkMode::kNone && (spec.policy || !spec.ports.empty())) {
    return BadValue("network.mode", "is 'none', but rules or ports are asked for");
  }
  if (spec.ports.size() > kMaxPortMappings) {
    return BadValue("network.ports", StrCat("are more than ", kMaxPortMappings));
  }
  for (size_t i = 0; i < spec.ports.size(); ++i) {
    RETURN_IF_ERROR(ValidatePort(spec.ports[i], StrCat("network.ports[", i, "]")));
    for (size_t j = 0; j < i; ++j) {
      if (!Collide(spec.ports[i], spec.ports[j])) continue;
      return BadValue(StrCat("network.ports[", i, "]"),
                      StrCat("names port ", spec.ports[i].host_port, " of the host a second time"));
    }
  }
  return absl::OkStatus();
}

}  // namespace claw
