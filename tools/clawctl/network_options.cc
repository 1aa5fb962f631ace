#include "tools/clawctl/network_options.h"

#include "agent/base/endpoint.h"
#include "agent/base/ip.h"
#include "agent/base/strings.h"
#include "tools/clawctl/error.h"
#include "tools/clawctl/format.h"

namespace claw::ctl {
namespace {

constexpr std::string_view kTenantPeer = "tenant";

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

Status AddRules(const std::string& option, const std::vector<std::string>& texts, bool egress,
                google::protobuf::RepeatedPtrField<pb::NetworkRule>& out) {
  for (const std::string& text : texts) {
    const auto rule = ParseRule(text);
    if (!rule.ok()) return UsageError(StrCat(option, ": ", ToStd(rule.status().message())));
    if (!egress && rule->peer_case() == pb::NetworkRule::kDnsName) {
      return UsageError(
          StrCat(option, ": '", text, "' names a DNS name; who calls is known by its address"));
    }
    *out.Add() = *rule;
  }
  return absl::OkStatus();
}

StatusOr<int32_t> ParsePort(std::string_view text, std::string_view whole) {
  int64_t port = 0;
  if (ParseInt(text, &port) && port >= 1 && port <= 65535) return static_cast<int32_t>(port);
  return InvalidArgument("'", whole, "' has '", text, "' where a port of 1 to 65535 belongs");
}

}  // namespace

bool PolicyOptions::any() const {
  return !allow_to.empty() || !allow_from.empty() || allow_dns || egress_rate || ingress_rate ||
         connections;
}

void AddPolicyOptions(CLI::App& command, PolicyOptions& options) {
  AddRepeated(command, "--allow-to", options.allow_to,
              "Whom it may call, such as api.example.com:443 or 10.0.0.0/8:5432; may be given many "
              "times")
      ->type_name("RULE");
  AddRepeated(command, "--allow-from", options.allow_from,
              "Who may call it, such as tenant:8080 or 10.1.0.0/16/icmp, and on which of its "
              "ports; may be given many times")
      ->type_name("RULE");
  command.add_flag("--allow-dns", options.allow_dns, "It may ask the node's DNS servers");
  AddBytes(
      command, "--egress-rate", [&options](int64_t bytes) { options.egress_rate = bytes; },
      "Most that it sends in a second, 1Ki to 1Ti; what is sent faster is dropped; no bound "
      "unless given");
  AddBytes(
      command, "--ingress-rate", [&options](int64_t bytes) { options.ingress_rate = bytes; },
      "Most that it is sent in a second; no bound unless given");
  command
      .add_option("--connections", options.connections,
                  "Most connections that it has opened at one time; no bound unless given")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}).description(""));
}

StatusOr<pb::NetworkPolicy> BuildPolicy(const PolicyOptions& options) {
  pb::NetworkPolicy policy;
  RETURN_IF_ERROR(AddRules("--allow-to", options.allow_to, true, *policy.mutable_egress()));
  RETURN_IF_ERROR(AddRules("--allow-from", options.allow_from, false, *policy.mutable_ingress()));
  policy.set_dns(options.allow_dns);
  policy.set_egress_bytes_per_second(options.egress_rate.value_or(0));
  policy.set_ingress_bytes_per_second(options.ingress_rate.value_or(0));
  policy.set_connections_max(options.connections.value_or(0));
  return policy;
}

StatusOr<pb::NetworkRule> ParseRule(const std::string& text) {
  ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(text));
  pb::NetworkRule rule;
  if (endpoint.peer == kTenantPeer) {
    rule.mutable_tenant();
  } else if (const StatusOr<IpPrefix> prefix = ParseIpPrefix(endpoint.peer); prefix.ok()) {
    rule.set_cidr(ToString(*prefix));
  } else if (endpoint.peer.find_first_of("/:") != std::string::npos) {
    return prefix.status();
  } else {
    rule.set_dns_name(endpoint.peer);
  }
  for (const PortRange& range : endpoint.ports) {
    pb::PortRange* out = rule.add_ports();
    out->set_first(range.first);
    out->set_last(range.last);
  }
  rule.set_protocol(ToProto(endpoint.protocol));
  return rule;
}

StatusOr<pb::PortMapping> ParsePublish(const std::string& text) {
  pb::PortMapping port;
  std::string_view rest = text;
  if (const size_t slash = rest.rfind('/'); slash != std::string_view::npos) {
    const std::string_view protocol = rest.substr(slash + 1);
    if (protocol != "tcp" && protocol != "udp") {
      return InvalidArgument("'", text, "' has '", protocol, "' where tcp or udp belongs");
    }
    if (protocol == "udp") port.set_protocol(pb::NETWORK_PROTOCOL_UDP);
    rest = rest.substr(0, slash);
  }
  const size_t last = rest.rfind(':');
  if (last == std::string_view::npos) {
    return InvalidArgument("'", text, "' is not [HOSTADDR:]HOSTPORT:PORT[/udp]");
  }
  ASSIGN_OR_RETURN(const int32_t inside, ParsePort(rest.substr(last + 1), text));
  port.set_sandbox_port(inside);
  rest = rest.substr(0, last);
  const size_t before = rest.rfind(':');
  const bool has_address = before != std::string_view::npos;
  ASSIGN_OR_RETURN(const int32_t outside,
                   ParsePort(has_address ? rest.substr(before + 1) : rest, text));
  port.set_host_port(outside);
  if (!has_address) return port;
  std::string_view address = rest.substr(0, before);
  const bool brackets = address.starts_with('[') && address.ends_with(']');
  if (brackets) address = address.substr(1, address.size() - 2);
  const auto parsed = ParseIpAddress(address);
  if (!parsed.ok() || parsed->v6 != brackets) {
    return InvalidArgument("'", text, "' has '", address,
                           "' where an address of the host belongs, an IPv6 one in brackets");
  }
  port.set_host_address(ToString(*parsed));
  return port;
}

}  // namespace claw::ctl
