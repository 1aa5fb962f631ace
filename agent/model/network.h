#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/endpoint.h"
#include "agent/base/ip.h"
#include "agent/base/status.h"

namespace claw {

// How a sandbox is connected. Either way it has a network namespace of its own.
enum class NetworkMode {
  kNone,    // loopback alone
  kBridge,  // an interface on a bridge of the node's, under a policy that denies by default
};

// Whom a rule lets in or out.
enum class PeerKind {
  kPrefix,  // addresses
  kName,    // a DNS name: the addresses that the agent finds for it
  kTenant,  // the other sandboxes of the same tenant on this node
};

// One thing that is allowed. All that no rule allows is denied.
struct NetworkRule {
  PeerKind kind = PeerKind::kPrefix;
  IpPrefix prefix{};               // kPrefix
  std::string name{};              // kName: lower case, without a dot at its end
  std::vector<PortRange> ports{};  // of whoever is called; empty: all
  Protocol protocol = Protocol::kAny;

  bool operator==(const NetworkRule&) const = default;
};

// What a sandbox may do on the network. A connection is judged by who opened it; its answers come
// through as long as it is allowed.
struct NetworkPolicy {
  std::vector<NetworkRule> egress{};   // connections that the sandbox opens; names only here
  std::vector<NetworkRule> ingress{};  // connections that others open to it
  // For each sandbox under the policy; 0: no bound. What is sent faster is dropped.
  int64_t egress_bytes_per_second = 0;
  int64_t ingress_bytes_per_second = 0;
  int64_t connections_max = 0;  // that it has opened, at one time
  bool dns = false;             // it may ask the node's DNS servers

  bool operator==(const NetworkPolicy&) const = default;
};

// A policy with a name, which tenants refer to.
struct NamedNetworkPolicy {
  std::string name{};  // ValidateName
  NetworkPolicy policy{};
  Time created_at{};
  Time updated_at{};

  bool operator==(const NamedNetworkPolicy&) const = default;
};

// A port of the host that leads into a sandbox.
struct PortMapping {
  int host_port = 0;                   // 1 to 65535
  int sandbox_port = 0;                // 1 to 65535
  Protocol protocol = Protocol::kTcp;  // or kUdp
  std::string host_address{};          // empty: all of the host's

  bool operator==(const PortMapping&) const = default;
};

// What was asked for a sandbox.
struct NetworkSpec {
  // Absent: kBridge if anything below is set, or the tenant is trusted and has a policy; else
  // kNone.
  std::optional<NetworkMode> mode{};
  // Narrows the tenant's: what is to pass has to be allowed by both. Absent: the tenant's alone.
  std::optional<NetworkPolicy> policy{};
  std::vector<PortMapping> ports{};

  bool operator==(const NetworkSpec&) const = default;
};

// How a sandbox is connected, once it is. Recorded with it.
struct NetworkAttachment {
  std::string ipv4{};  // its address; empty: it has none
  std::string ipv6{};
  std::string mac{};             // "0a:58:…"
  std::string host_interface{};  // the host's end: "veth1a2b3c4d"
  std::string bridge{};          // "clawlet0"

  bool operator==(const NetworkAttachment&) const = default;
};

constexpr size_t kMaxRules = 256;  // of one policy, each way
constexpr size_t kMaxRulePorts = 16;
constexpr size_t kMaxPortMappings = 32;
constexpr int64_t kMinBytesPerSecond = 1024;
constexpr int64_t kMaxBytesPerSecond = int64_t{1} << 40;  // 8 Tbit/s
constexpr int64_t kMaxConnections = 1'000'000;

std::string_view ToString(NetworkMode mode);  // "none", "bridge"
StatusOr<NetworkMode> ParseNetworkMode(std::string_view text);

// A rule from PEER[:PORTS][/PROTOCOL], where "tenant" is the peer of that name and what does not
// read as a prefix is a DNS name. As base/endpoint.h says; INVALID_ARGUMENT also for a bad name.
StatusOr<NetworkRule> ParseNetworkRule(std::string_view text);
std::string ToString(const NetworkRule& rule);  // as ParseNetworkRule reads it

// Everything that can be checked without a node. INVALID_ARGUMENT with the field as the constraint.
Status ValidateNetworkPolicy(const NetworkPolicy& policy, std::string_view field);
Status ValidateNetworkSpec(const NetworkSpec& spec);

}  // namespace claw
