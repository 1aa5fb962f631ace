// A sandbox that has root inside and says what it likes on its wire.

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstring>

#include "agent/base/strings.h"
#include "drivers/network/linux/nft.h"
#include "tests/integration/network/world.h"

namespace claw::test {
namespace {

constexpr uint16_t kPort = 7000;

uint16_t Checksum(const void* data, size_t size) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < size; i += 2) {
    uint16_t word = 0;
    std::memcpy(&word, static_cast<const char*>(data) + i, 2);
    sum += word;
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

std::string Datagram(const std::string& from, const std::string& to) {
  iphdr ip{};
  ip.version = 4;
  ip.ihl = 5;
  ip.ttl = 64;
  ip.protocol = IPPROTO_UDP;
  ip.tot_len = htons(sizeof(iphdr) + sizeof(udphdr));
  ::inet_pton(AF_INET, from.c_str(), &ip.saddr);
  ::inet_pton(AF_INET, to.c_str(), &ip.daddr);
  ip.check = Checksum(&ip, sizeof(ip));
  udphdr udp{};
  udp.source = htons(kPort);
  udp.dest = htons(kPort);
  udp.len = htons(sizeof(udphdr));
  std::string packet(reinterpret_cast<const char*>(&ip), sizeof(ip));
  packet.append(reinterpret_cast<const char*>(&udp), sizeof(udp));
  return packet;
}

std::string Mac(const std::string& text) {
  std::string mac;
  for (const std::string_view part : Split(text, ':')) {
    mac.push_back(static_cast<char>(std::stoi(std::string(part), nullptr, 16)));
  }
  return mac;
}

std::string Ether(const std::string& to, const std::string& from, uint16_t type) {
  const uint16_t big = htons(type);
  return Mac(to) + Mac(from) + std::string(reinterpret_cast<const char*>(&big), 2);
}

void SendFrame(const Nobody& who, const std::string& frame) {
  ssize_t sent = -1;
  who.Do([&] {
    const UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(::if_nametoindex("eth0"));
    to.sll_halen = 6;
    sent = ::sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to),
                    sizeof(to));
  });
  REQUIRE(sent == static_cast<ssize_t>(frame.size()));
}

std::string BridgeMac() {
  const std::string shown = RunHere({"ip", "-o", "link", "show", "clawt0"});
  return shown.substr(shown.find("link/ether ") + 11, 17);
}

TEST_CASE("what a sandbox sends under another's address is dropped and counted") {
  World world;
  world.Connect(world.Plan("s1", "a", Allow({"0.0.0.0/0", "::/0"})));
  world.Connect(world.Plan("s2", "a", Allow({}, {"0.0.0.0/0"})));
  const auto s1 = world.Sandbox("s1");
  const auto s2 = world.Sandbox("s2");
  const NetworkAttachment own = world.Attachment("s1");
  const NetworkAttachment other = world.Attachment("s2");
  const std::string host = BridgeMac();
  const int64_t before = world.Spoofed("s1");
  const UniqueFd out = Socket(world.Out1().who, false, SOCK_DGRAM, "10.9.1.2", kPort);
  const UniqueFd here = Socket(nullptr, false, SOCK_DGRAM, "10.222.0.1", kPort);
  const UniqueFd neighbour = Socket(s2.who, false, SOCK_DGRAM, s2.address, kPort);
  const auto spoofed = [&](const std::string& frame) {
    const int64_t so_far = world.Spoofed("s1");
    SendFrame(*s1.who, frame);
    return Eventually([&] { return world.Spoofed("s1") > so_far; });
  };

  // Its own frame is fine.
  SendFrame(*s1.who, Ether(host, own.mac, ETH_P_IP) + Datagram(own.ipv4, "10.9.1.2"));
  char byte = 0;
  REQUIRE(Eventually([&] { return ::recv(out.get(), &byte, 1, MSG_DONTWAIT) == 0; }));
  CHECK(world.Spoofed("s1") == before);

  // Another's IP address, another's MAC address, both.
  CHECK(spoofed(Ether(host, own.mac, ETH_P_IP) + Datagram(other.ipv4, "10.9.1.2")));
  CHECK(spoofed(Ether(host, other.mac, ETH_P_IP) + Datagram(own.ipv4, "10.9.1.2")));
  CHECK(spoofed(Ether(host, other.mac, ETH_P_IP) + Datagram(other.ipv4, "10.9.1.2")));
  // Past the host, at the neighbour's door: same tenant, allowed, but not this way.
  CHECK(spoofed(Ether(other.mac, own.mac, ETH_P_IP) + Datagram("10.9.1.2", s2.address)));
  // To the bridge's own addresses, which are taken in past it.
  CHECK(spoofed(Ether("01:80:c2:00:00:0e", own.mac, ETH_P_IP) + Datagram(own.ipv4, "10.222.0.1")));
  CHECK(spoofed(Ether("01:80:c2:00:00:03", own.mac, ETH_P_IP) + Datagram(own.ipv4, "10.9.1.1")));
  // No IP at all.
  CHECK(spoofed(Ether("ff:ff:ff:ff:ff:ff", own.mac, 0x88b5) + std::string(46, 'x')));
  // ARP that claims the neighbour's address, or the neighbour's place on the bridge.
  const auto arp = [&](const std::string& mac, const std::string& ip) {
    std::string packet("\0\1\x08\0\6\4\0\2", 8);
    std::array<char, 4> address{};
    ::inet_pton(AF_INET, ip.c_str(), address.data());
    packet +=
        Mac(mac) + std::string(address.data(), 4) + Mac(host) + std::string("\x0a\xde\0\1", 4);
    return packet;
  };
  CHECK(spoofed(Ether(host, own.mac, ETH_P_ARP) + arp(own.mac, other.ipv4)));
  CHECK(spoofed(Ether(host, own.mac, ETH_P_ARP) + arp(other.mac, other.ipv4)));
  CHECK(spoofed(Ether(host, other.mac, ETH_P_ARP) + arp(own.mac, own.ipv4)));

  // None of it has arrived, and the neighbour is still where it was.
  for (const UniqueFd* fd : {&out, &here, &neighbour}) {
    CHECK(::recv(fd->get(), &byte, 1, MSG_DONTWAIT) == -1);
  }
  CHECK(world.Udp(world.Out1(), s2, 81));
}

TEST_CASE("without any rules sandboxes on a bridge do not reach each other past the host") {
  World world;
  world.Connect(world.Plan("s1", "a", Allow({"0.0.0.0/0"})));
  world.Connect(world.Plan("s2", "b", Allow({}, {"0.0.0.0/0"})));
  const auto s2 = world.Sandbox("s2");
  const NetworkAttachment own = world.Attachment("s1");
  const UniqueFd neighbour = Socket(s2.who, false, SOCK_DGRAM, s2.address, kPort);
  REQUIRE(network::RunNft("delete table bridge clawt").ok());
  SendFrame(*world.Sandbox("s1").who,
            Ether(world.Attachment("s2").mac, own.mac, ETH_P_IP) + Datagram(own.ipv4, s2.address));
  // What is sent after it has arrived, so it is not merely late.
  const UniqueFd out = Socket(world.Out1().who, false, SOCK_DGRAM, "10.9.1.2", kPort);
  SendFrame(*world.Sandbox("s1").who,
            Ether(BridgeMac(), own.mac, ETH_P_IP) + Datagram(own.ipv4, "10.9.1.2"));
  char byte = 0;
  REQUIRE(Eventually([&] { return ::recv(out.get(), &byte, 1, MSG_DONTWAIT) == 0; }));
  CHECK(::recv(neighbour.get(), &byte, 1, MSG_DONTWAIT) == -1);
}

}  // namespace
}  // namespace claw::test
