#pragma once

// How sandboxes are connected, and what keeps them apart. Behind it, on Linux: the standard CNI
// plugins, and rules in tables of clawlet's own.
//
// Threads: every call may block and is made from a pool thread; calls about one sandbox never
// overlap, others may come at any time. The callbacks come from a thread of the implementation's,
// never after its destructor, and must not call back into it.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/model/network.h"

namespace claw::network {

// The node's part of the config. Everything is checked and set.
struct NetworkConfig {
  std::string name = "clawlet";  // of the tables; bridges are NAME0, NAME1, …: at most 11 letters
  std::vector<std::filesystem::path> cni_path{"/usr/lib/cni", "/opt/cni/bin"};
  std::filesystem::path run_dir{};  // state of the attachments; gone after a reboot, as they are
  // Cut into one subnet of /22 (at most 1,021 sandboxes: a bridge of Linux has 1,024 ports) for
  // each bridge; a range smaller than that is one subnet.
  IpPrefix ipv4_range{};
  std::optional<IpPrefix> ipv6_range{};    // absent: IPv4 alone. Cut into one /112 for each bridge.
  std::vector<std::string> dns_servers{};  // addresses; what sandboxes are told to ask
  std::vector<std::string> dns_search{};
  std::vector<std::string> resolvers{};  // addresses; whom the agent itself asks about names
  int dns_port = 53;                     // of those servers
  bool masquerade = true;                // sandboxes speak to the world with the host's address
  // Always denied, beside the host itself, other tenants, loopback, link-local addresses (cloud
  // metadata among them), multicast and reserved ones.
  std::vector<IpPrefix> denied{};
  // What a policy may allow although it is always denied. Prefixes only.
  std::vector<NetworkRule> exceptions{};
  int mtu = 0;  // 0: the kernel's
};

// A sandbox with what it may do.
struct NetworkPlan {
  std::string id{};
  std::string tenant{};
  std::string hostname{};
  // What has to allow a connection: the tenant's policy, then the sandbox's own if it has one. The
  // name makes sandboxes under one policy share its rules; empty: this sandbox's alone.
  struct Layer {
    std::string name{};
    NetworkPolicy policy{};

    bool operator==(const Layer&) const = default;
  };
  std::vector<Layer> layers{};  // none: nothing is allowed
  std::vector<PortMapping> ports{};

  bool operator==(const NetworkPlan&) const = default;
};

// Files that a sandbox sees at /etc/hosts and /etc/resolv.conf. They live until Detach.
struct NetworkFiles {
  std::filesystem::path hosts{};
  std::filesystem::path resolv_conf{};
};

struct PacketCount {
  int64_t packets = 0;
  int64_t bytes = 0;
};

// Since it was attached. Kept over a repair and over a restart of the agent.
struct NetworkCounters {
  PacketCount sent{};           // all that left the sandbox under its own address
  PacketCount received{};       // what was let through to it
  PacketCount egress_denied{};  // by the policy or by what is always denied
  PacketCount ingress_denied{};
  PacketCount spoofed{};         // sent under another's address, or no IP at all
  PacketCount egress_limited{};  // dropped at the limit of bytes
  PacketCount ingress_limited{};
};

constexpr PacketCount NetworkCounters::*kCounts[] = {
    &NetworkCounters::sent,           &NetworkCounters::received, &NetworkCounters::egress_denied,
    &NetworkCounters::ingress_denied, &NetworkCounters::spoofed,  &NetworkCounters::egress_limited,
    &NetworkCounters::ingress_limited};

// What became of a DNS name that a sandbox or a policy allows.
struct ResolvedName {
  std::string name{};
  std::vector<std::string> addresses{};
  std::string problem{};  // empty: it was resolved
};

// One packet, or several alike, that were denied. Told at most once in some seconds for each
// sandbox.
struct Denial {
  std::string id{};
  bool egress = true;
  std::string peer{};      // an address
  int port = 0;            // of whoever was called; 0: the protocol has none
  std::string protocol{};  // "tcp", "udp", "icmp", or a number
  int64_t packets = 1;     // logged since the last time, of any kind
};

struct NetworkEvents {
  std::function<void(const Denial&)> on_denied{};
  // The rules were gone or changed and are back: after so long, as far as it is known.
  std::function<void(std::string how)> on_repaired{};
  // They could not be brought back; the sandboxes of these ids are not protected. Told once; when
  // that has ended on_repaired is called.
  std::function<void(std::string why, std::vector<std::string> ids)> on_unprotected{};
  std::function<void(const ResolvedName&)> on_resolved{};  // when the answer has changed
};

// What is there to connect sandboxes with.
struct NetworkHealth {
  bool healthy = false;
  std::string message{};  // why not, and what to do
  std::string cni_version{};
  std::string nft_version{};
  bool ipv6 = false;
  int64_t addresses = 0;  // of the range, for sandboxes
  int64_t addresses_used = 0;
};

class Networks {
 public:
  virtual ~Networks() = default;

  // Whom to tell. Once, before anything else.
  virtual void Listen(NetworkEvents events) = 0;

  // Makes the tables and looks whether all that is needed is there. Again at any time.
  virtual NetworkHealth Probe() = 0;

  // Whether anything of it is left from an earlier agent. Makes nothing.
  virtual bool HasTraces() const = 0;

  // What has to be there before the sandbox is made.
  virtual StatusOr<NetworkFiles> Prepare(const NetworkPlan& plan) = 0;

  // Connects the namespace of this process and puts the rules in force: after the driver's Create,
  // before its Start. What it answers has been read back from the kernel. RESOURCE_EXHAUSTED,
  // reason ADDRESSES_EXHAUSTED: the range is used up. On an error Detach removes what is left.
  virtual StatusOr<NetworkAttachment> Attach(const NetworkPlan& plan, int64_t pid) = 0;

  // After a restart of the agent: this sandbox is still connected so. Before Reconcile.
  virtual Status Adopt(const NetworkPlan& plan, const NetworkAttachment& attachment) = 0;

  // After all of Adopt: removes what belongs to no sandbox that was adopted (rules, veths,
  // addresses, files), and writes the rules anew in one transaction. Answers with the ids that were
  // removed.
  virtual StatusOr<std::vector<std::string>> Reconcile() = 0;

  // Removes rules, interfaces, addresses and files. Idempotent; works from the id alone. After the
  // driver's Destroy, or before.
  virtual Status Detach(const std::string& id) = 0;

  // Replaces what these sandboxes may do, in one transaction: at no time is anything allowed that
  // neither the old nor the new rules allow. All of them are attached.
  virtual Status Replace(const std::vector<NetworkPlan>& plans) = 0;

  virtual StatusOr<std::map<std::string, NetworkCounters>> Count() = 0;
  virtual std::vector<ResolvedName> Names(const std::string& id) const = 0;
};

// On Linux, networks in the network namespace of the calling thread; elsewhere, ones that answer
// UNIMPLEMENTED. Nothing is done before the first call.
std::unique_ptr<Networks> MakeNetworks(NetworkConfig config, NetworkEvents events = {});

}  // namespace claw::network
