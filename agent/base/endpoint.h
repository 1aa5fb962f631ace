#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw {

enum class Protocol { kAny, kTcp, kUdp, kIcmp };  // kIcmp: of IPv4 and of IPv6

std::string_view ToString(Protocol protocol);  // "any", "tcp", "udp", "icmp"
StatusOr<Protocol> ParseProtocol(std::string_view text);

struct PortRange {
  int first = 0;  // 1 to 65535
  int last = 0;   // not below `first`

  auto operator<=>(const PortRange&) const = default;
};

// How people write down whom a sandbox may talk to: PEER[:PORTS][/PROTOCOL].
struct Endpoint {
  std::string peer{};              // as written, without brackets: a prefix, a DNS name, a word
  std::vector<PortRange> ports{};  // empty: all
  Protocol protocol = Protocol::kAny;

  bool operator==(const Endpoint&) const = default;
};

// "10.0.0.0/8:443/tcp", "[fd00::/8]:53,8000-8080/udp", "api.example.com:443", "10.0.0.0/8/icmp",
// "fd00::/8". An IPv6 peer with ports stands in brackets. Ports without a protocol are TCP's; ICMP
// has none, and "any" takes none. The peer is not looked at. INVALID_ARGUMENT otherwise.
StatusOr<Endpoint> ParseEndpoint(std::string_view text);
// As ParseEndpoint reads it.
std::string ToString(const Endpoint& endpoint);

}  // namespace claw
