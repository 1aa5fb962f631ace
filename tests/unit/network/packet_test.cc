#include "drivers/network/packet.h"

#include <rapidcheck.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <memory>
#include <vector>

namespace claw::network {
namespace {

std::string Bytes(std::initializer_list<int> values) {
  std::string bytes;
  for (const int value : values) bytes.push_back(static_cast<char>(value));
  return bytes;
}

// From 10.0.0.1 to 192.0.2.7; `words` is the header's length in words, filled up with options.
std::string V4(int protocol, const std::string& payload, int words = 5, int fragment = 0) {
  const int total = words * 4 + static_cast<int>(payload.size());
  std::string bytes = Bytes({0x40 | words,
                             0,
                             total >> 8,
                             total & 0xff,
                             0,
                             1,
                             fragment >> 8,
                             fragment & 0xff,
                             64,
                             protocol,
                             0,
                             0,
                             10,
                             0,
                             0,
                             1,
                             192,
                             0,
                             2,
                             7});
  bytes.append(static_cast<size_t>(words - 5) * 4, '\1');
  return bytes + payload;
}

// From fd00::1 to 2001:db8::7.
std::string V6(int next, const std::string& payload) {
  const int length = static_cast<int>(payload.size());
  std::string bytes = Bytes({0x60, 0, 0, 0, length >> 8, length & 0xff, next, 64});
  bytes += Bytes({0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  bytes += Bytes({0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7});
  return bytes + payload;
}

std::string Ports(int source, int destination) {
  return Bytes({source >> 8, source & 0xff, destination >> 8, destination & 0xff, 0, 0, 0, 0});
}

std::string Extension(int next, int units = 0) {
  std::string bytes = Bytes({next, units});
  bytes.resize(static_cast<size_t>(units + 1) * 8);
  return bytes;
}

std::string Fragment(int next, int offset, bool more) {
  const int field = offset << 3 | (more ? 1 : 0);
  return Bytes({next, 0, field >> 8, field & 0xff, 0, 0, 0, 1});
}

// "SOURCE > DESTINATION PROTOCOL PORT", or "nothing".
std::string Told(const std::string& bytes) {
  const std::optional<IpPacket> packet = ParseIpPacket(bytes);
  if (!packet) return "nothing";
  return ToString(packet->source) + " > " + ToString(packet->destination) + " " +
         ProtocolName(*packet) + " " + std::to_string(packet->port);
}

TEST_CASE("packet: IPv4") {
  CHECK(Told(V4(6, Ports(40000, 443))) == "10.0.0.1 > 192.0.2.7 tcp 443");
  CHECK(Told(V4(17, Ports(53, 65535))) == "10.0.0.1 > 192.0.2.7 udp 65535");
  CHECK(Told(V4(1, Ports(0x0800, 443))) == "10.0.0.1 > 192.0.2.7 icmp 0");
  CHECK(Told(V4(132, Ports(1, 2))) == "10.0.0.1 > 192.0.2.7 132 0");
  CHECK(Told(V4(58, Ports(1, 2))) == "10.0.0.1 > 192.0.2.7 58 0");  // ICMP of IPv6
}

TEST_CASE("packet: IPv4 with options") {
  CHECK(Told(V4(6, Ports(40000, 443), 6)) == "10.0.0.1 > 192.0.2.7 tcp 443");
  CHECK(Told(V4(6, Ports(40000, 443), 15)) == "10.0.0.1 > 192.0.2.7 tcp 443");
}

TEST_CASE("packet: IPv4 in fragments") {
  CHECK(Told(V4(17, Ports(1, 53), 5, 0x2000)) == "10.0.0.1 > 192.0.2.7 udp 53");
  CHECK(Told(V4(17, Ports(1, 53), 5, 0x2001)) == "10.0.0.1 > 192.0.2.7 udp 0");
  CHECK(Told(V4(17, Ports(1, 53), 5, 0x0fff)) == "10.0.0.1 > 192.0.2.7 udp 0");
  CHECK(Told(V4(17, Ports(1, 53), 5, 0x4000)) == "10.0.0.1 > 192.0.2.7 udp 53");  // do not fragment
}

TEST_CASE("packet: IPv4 that lies about its lengths") {
  std::string bytes = V4(6, Ports(1, 443));
  bytes[0] = 0x44;  // a header shorter than a header
  CHECK(Told(bytes) == "nothing");
  bytes[0] = 0x4f;  // longer than the whole
  CHECK(Told(bytes) == "nothing");
  bytes = V4(6, Ports(1, 443));
  bytes[3] = 22;  // the packet ends before the port
  CHECK(Told(bytes) == "10.0.0.1 > 192.0.2.7 tcp 0");
  bytes[3] = 19;
  CHECK(Told(bytes) == "nothing");
  bytes[2] = bytes[3] = 0;  // more than the field can say
  CHECK(Told(bytes) == "10.0.0.1 > 192.0.2.7 tcp 443");
  bytes[2] = 0x7f;  // more than was copied
  CHECK(Told(bytes) == "10.0.0.1 > 192.0.2.7 tcp 443");
}

TEST_CASE("packet: IPv6") {
  CHECK(Told(V6(6, Ports(40000, 443))) == "fd00::1 > 2001:db8::7 tcp 443");
  CHECK(Told(V6(17, Ports(40000, 53))) == "fd00::1 > 2001:db8::7 udp 53");
  CHECK(Told(V6(58, Ports(0x8000, 1))) == "fd00::1 > 2001:db8::7 icmp 0");
  CHECK(Told(V6(1, Ports(0x8000, 1))) == "fd00::1 > 2001:db8::7 1 0");  // ICMP of IPv4
  CHECK(Told(V6(59, "")) == "fd00::1 > 2001:db8::7 59 0");
}

TEST_CASE("packet: IPv6 with extension headers") {
  const std::string tcp = Ports(40000, 443);
  CHECK(Told(V6(0, Extension(6) + tcp)) == "fd00::1 > 2001:db8::7 tcp 443");
  CHECK(Told(V6(0, Extension(43) + Extension(60, 2) + Extension(6, 1) + tcp)) ==
        "fd00::1 > 2001:db8::7 tcp 443");
  // An authentication header counts in words.
  CHECK(Told(V6(51, Bytes({6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) + tcp)) ==
        "fd00::1 > 2001:db8::7 tcp 443");
  CHECK(Told(V6(50, Extension(6) + tcp)) == "fd00::1 > 2001:db8::7 50 0");  // is encrypted
  // Ends in the middle of the second.
  CHECK(Told(V6(0, Extension(60) + Extension(6, 9).substr(0, 12))) == "fd00::1 > 2001:db8::7 60 0");
}

TEST_CASE("packet: IPv6 in fragments") {
  const std::string udp = Ports(40000, 53);
  CHECK(Told(V6(44, Fragment(17, 0, true) + udp)) == "fd00::1 > 2001:db8::7 udp 53");
  CHECK(Told(V6(44, Fragment(17, 1, true) + udp)) == "fd00::1 > 2001:db8::7 udp 0");
  CHECK(Told(V6(44, Fragment(17, 0x1fff, false) + udp)) == "fd00::1 > 2001:db8::7 udp 0");
  CHECK(Told(V6(60, Extension(44) + Fragment(17, 0, false) + udp)) ==
        "fd00::1 > 2001:db8::7 udp 53");
}

TEST_CASE("packet: IPv6 that lies about its length") {
  std::string bytes = V6(6, Ports(1, 443));
  bytes[5] = 2;  // ends before the port
  CHECK(Told(bytes) == "fd00::1 > 2001:db8::7 tcp 0");
  bytes[5] = 0;  // a jumbogram
  CHECK(Told(bytes) == "fd00::1 > 2001:db8::7 tcp 443");
  bytes[4] = 0x7f;
  CHECK(Told(bytes) == "fd00::1 > 2001:db8::7 tcp 443");
}

TEST_CASE("packet: what is no IP") {
  CHECK(Told("") == "nothing");
  CHECK(Told(std::string(64, '\0')) == "nothing");
  CHECK(Told(std::string(64, '\x55')) == "nothing");
  // ARP: who has 10.0.0.2?
  CHECK(Told(Bytes({0,  1, 8, 0, 6, 4, 0, 1, 2, 0, 0,  0, 0, 1,
                    10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2})) == "nothing");
}

// The bytes in a block that ends where they end: a sanitizer sees the first that is read too many.
std::optional<IpPacket> ParseExactly(std::string_view bytes) {
  const auto block = std::make_unique<char[]>(std::max<size_t>(bytes.size(), 1));
  std::copy(bytes.begin(), bytes.end(), block.get());
  return ParseIpPacket({block.get(), bytes.size()});
}

void CheckSane(const std::optional<IpPacket>& packet, std::string_view bytes) {
  if (!packet) return;
  RC_ASSERT(bytes.size() >= (packet->source.v6 ? 40u : 20u));
  RC_ASSERT(packet->source.v6 == packet->destination.v6);
  RC_ASSERT(packet->protocol >= 0);
  RC_ASSERT(packet->protocol <= 255);
  RC_ASSERT(packet->port >= 0);
  RC_ASSERT(packet->port <= 65535);
  RC_ASSERT(packet->port == 0 || packet->protocol == 6 || packet->protocol == 17);
}

TEST_CASE("packet: random bytes") {
  CHECK(rc::check("whatever they are", [](const std::vector<uint8_t>& values) {
    const std::string bytes(values.begin(), values.end());
    CheckSane(ParseExactly(bytes), bytes);
  }));
  CHECK(rc::check("that begin as IP does", [] {
    const auto size = *rc::gen::inRange<size_t>(1, 200);
    const auto values =
        *rc::gen::container<std::vector<uint8_t>>(size, rc::gen::arbitrary<uint8_t>());
    std::string bytes(values.begin(), values.end());
    const bool v6 = *rc::gen::arbitrary<bool>();
    bytes[0] = static_cast<char>(v6 ? 0x60 : 0x40 | (bytes[0] & 0x0f));
    // Mostly something that the parser follows.
    const size_t at = v6 ? 6 : 9;
    if (bytes.size() > at) {
      bytes[at] = static_cast<char>(*rc::gen::element(0, 6, 17, 43, 44, 51, 58, 60));
    }
    CheckSane(ParseExactly(bytes), bytes);
  }));
}

TEST_CASE("packet: a cut leaves open what is behind it, and changes nothing before") {
  const std::vector<std::string> whole = {
      V4(6, Ports(1, 443)),
      V4(17, Ports(1, 53), 15),
      V6(17, Ports(1, 53)),
      V6(0, Extension(43) + Extension(44, 1) + Fragment(51, 0, true) + Extension(60, 0) +
                Extension(6, 3) + Ports(1, 443)),
  };
  for (const std::string& bytes : whole) {
    const std::optional<IpPacket> all = ParseExactly(bytes);
    REQUIRE(all);
    const size_t header = all->source.v6 ? 40 : 20;
    for (size_t size = 0; size < bytes.size(); ++size) {
      INFO(Told(bytes) << " cut to " << size);
      const std::optional<IpPacket> part = ParseExactly(bytes.substr(0, size));
      REQUIRE(part.has_value() == (size >= header));
      if (!part) continue;
      CHECK(part->source == all->source);
      CHECK(part->destination == all->destination);
      CHECK((part->port == 0 || part->port == all->port));
    }
  }
}

}  // namespace
}  // namespace claw::network
