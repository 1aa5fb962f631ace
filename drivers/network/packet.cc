#include "drivers/network/packet.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace claw::network {
namespace {

constexpr int kHopByHop = 0;
constexpr int kIcmp = 1;
constexpr int kTcp = 6;
constexpr int kUdp = 17;
constexpr int kRouting = 43;
constexpr int kFragment = 44;
constexpr int kAuthentication = 51;
constexpr int kIcmpV6 = 58;
constexpr int kDestinationOptions = 60;

constexpr size_t kV4Header = 20;
constexpr size_t kV6Header = 40;
constexpr size_t kFragmentHeader = 8;

size_t ByteAt(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }

size_t WordAt(std::string_view bytes, size_t at) {
  return ByteAt(bytes, at) << 8 | ByteAt(bytes, at + 1);
}

IpAddress AddressIn(std::string_view bytes, size_t at, bool v6) {
  IpAddress address{.v6 = v6};
  for (size_t i = 0; i < (v6 ? 16u : 4u); ++i) {
    address.bytes[i] = static_cast<uint8_t>(bytes[at + i]);
  }
  return address;
}

// Both begin with the source port and the destination port.
int PortIn(std::string_view payload, int protocol) {
  if ((protocol != kTcp && protocol != kUdp) || payload.size() < 4) return 0;
  return static_cast<int>(WordAt(payload, 2));
}

std::string_view From(std::string_view bytes, size_t at) {
  return bytes.substr(std::min(at, bytes.size()));
}

std::optional<IpPacket> ParseV4(std::string_view bytes) {
  if (bytes.size() < kV4Header) return std::nullopt;
  const size_t header = (ByteAt(bytes, 0) & 0x0f) * 4;
  const size_t total = WordAt(bytes, 2);
  if (header < kV4Header) return std::nullopt;
  // The kernel leaves 0 in packets that are longer than the field can say.
  if (total != 0) {
    if (total < header) return std::nullopt;
    bytes = bytes.substr(0, total);
  }
  IpPacket packet{.source = AddressIn(bytes, 12, false),
                  .destination = AddressIn(bytes, 16, false),
                  .protocol = static_cast<int>(ByteAt(bytes, 9))};
  const bool first = (WordAt(bytes, 6) & 0x1fff) == 0;
  if (first) packet.port = PortIn(From(bytes, header), packet.protocol);
  return packet;
}

// The length of this extension header, whose first two bytes are there; 0: it is none that could be
// passed by.
size_t ExtensionLength(int type, std::string_view bytes) {
  switch (type) {
    case kHopByHop:
    case kRouting:
    case kDestinationOptions:
      return (ByteAt(bytes, 1) + 1) * 8;
    case kAuthentication:
      return (ByteAt(bytes, 1) + 2) * 4;
    case kFragment:
      return kFragmentHeader;
    default:
      return 0;
  }
}

std::optional<IpPacket> ParseV6(std::string_view bytes) {
  if (bytes.size() < kV6Header) return std::nullopt;
  IpPacket packet{.source = AddressIn(bytes, 8, true),
                  .destination = AddressIn(bytes, 24, true),
                  .protocol = static_cast<int>(ByteAt(bytes, 6))};
  const size_t length = WordAt(bytes, 4);
  std::string_view rest = bytes.substr(kV6Header);
  if (length != 0) rest = rest.substr(0, length);  // 0 as in IPv4
  // Each turn takes bytes away, so a chain ends however it is tied.
  while (rest.size() >= 2) {
    const size_t extension = ExtensionLength(packet.protocol, rest);
    if (extension == 0) {
      packet.port = PortIn(rest, packet.protocol);
      return packet;
    }
    if (extension > rest.size()) return packet;
    const bool first = packet.protocol != kFragment || (WordAt(rest, 2) & 0xfff8) == 0;
    packet.protocol = static_cast<int>(ByteAt(rest, 0));
    if (!first) return packet;
    rest = rest.substr(extension);
  }
  return packet;
}

}  // namespace

std::optional<IpPacket> ParseIpPacket(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  switch (ByteAt(bytes, 0) >> 4) {
    case 4:
      return ParseV4(bytes);
    case 6:
      return ParseV6(bytes);
    default:
      return std::nullopt;
  }
}

std::string ProtocolName(const IpPacket& packet) {
  if (packet.protocol == kTcp) return "tcp";
  if (packet.protocol == kUdp) return "udp";
  if (packet.protocol == (packet.source.v6 ? kIcmpV6 : kIcmp)) return "icmp";
  return std::to_string(packet.protocol);
}

}  // namespace claw::network
