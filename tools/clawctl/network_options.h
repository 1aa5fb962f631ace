#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "tools/clawctl/cli.h"
#include "tools/clawctl/client.h"

namespace claw::ctl {

// What a command line says of a policy, as far as it has been read.
struct PolicyOptions {
  std::vector<std::string> allow_to;
  std::vector<std::string> allow_from;
  bool allow_dns = false;
  std::optional<int64_t> egress_rate;
  std::optional<int64_t> ingress_rate;
  std::optional<int64_t> connections;

  // Whether any of them was given.
  [[nodiscard]] bool any() const;
};

// --allow-to, --allow-from and the others, the same for every command that takes a policy.
void AddPolicyOptions(CLI::App& command, PolicyOptions& options);

// Usage errors that name the option.
StatusOr<pb::NetworkPolicy> BuildPolicy(const PolicyOptions& options);

// PEER[:PORTS][/PROTOCOL], as agent/base/endpoint.h has it. Whether a DNS name is one is for the
// agent to say.
StatusOr<pb::NetworkRule> ParseRule(const std::string& text);

// [HOSTADDR:]HOSTPORT:PORT[/udp].
StatusOr<pb::PortMapping> ParsePublish(const std::string& text);

// How a rule is written, for --help.
constexpr char kRuleHelp[] =
    "RULE is PEER[:PORTS][/PROTOCOL]. PEER is an address or a range of them, a DNS name (for\n"
    "--allow-to alone), or `tenant` for the tenant's other sandboxes on this node; an IPv6\n"
    "address with ports stands in brackets. PORTS are numbers and ranges with commas between\n"
    "them, all unless given. PROTOCOL is tcp, udp or icmp: tcp where there are ports, any where\n"
    "there are none. All that no rule allows is denied.";

}  // namespace claw::ctl
