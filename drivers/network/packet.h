#pragma once

// What the head of an IP packet says. Pure: for bytes that a sandbox made up.

#include <optional>
#include <string>
#include <string_view>

#include "agent/base/ip.h"

namespace claw::network {

struct IpPacket {
  IpAddress source{};
  IpAddress destination{};
  int protocol = 0;  // what is carried, behind IPv6's extension headers: a number of IANA's
  int port = 0;      // the destination's, of TCP and UDP; 0: it has none, or it is not to be seen

  bool operator==(const IpPacket&) const = default;
};

// Reads a packet from its IP header on. It may be cut off at any place: what is behind the cut is
// left open (an extension header that is cut is itself the protocol). Of fragments only the first
// has a port. Nothing for what is no IP, is shorter than its addresses, or lies about its lengths.
std::optional<IpPacket> ParseIpPacket(std::string_view bytes);

// "tcp", "udp", "icmp" for the one that belongs to the version of IP, otherwise the number.
std::string ProtocolName(const IpPacket& packet);

}  // namespace claw::network
