#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>

#include <array>
#include <catch2/catch.hpp>

#include "agent/base/file.h"
#include "tests/integration/network/world.h"

namespace claw::test {
namespace {

TEST_CASE("what a policy allows passes, and nothing else does") {
  World world;
  auto plan = world.Plan("s1", "a",
                         Allow({"10.9.1.2:80-90", "10.9.1.2:53/udp", "[fd09:1::2]:80",
                                "[fd09:1::2]:53/udp", "0.0.0.0/0:7000/udp", "[::/0]:7000/udp"}));
  const NetworkAttachment at = world.Connect(plan);
  CHECK(at.bridge == "clawt0");
  const auto s1 = world.Sandbox("s1");
  const auto s1v6 = world.Sandbox("s1", true);

  SECTION("TCP and UDP, both families") {
    CHECK(world.Tcp(s1, world.Out1(), 80));
    CHECK(world.Udp(s1, world.Out1(), 53));
    CHECK(world.Tcp(s1v6, world.Out1(true), 80));
    CHECK(world.Udp(s1v6, world.Out1(true), 53));
    const auto counts = world.Counts("s1");
    CHECK(counts.sent.packets >= 4);
    CHECK(counts.received.packets >= 2);
    CHECK(counts.egress_denied.packets == 0);
    CHECK(counts.spoofed.packets == 0);
  }
  SECTION("another port, another protocol, another host") {
    CHECK_FALSE(world.Tcp(s1, world.Out1(), 91));
    CHECK_FALSE(world.Udp(s1, world.Out1(), 80));
    CHECK_FALSE(world.Tcp(s1, world.Out2(), 80));
    CHECK_FALSE(world.Tcp(s1v6, world.Out1(true), 91));
    CHECK_FALSE(world.Udp(s1v6, world.Out2(true), 53));
    CHECK(world.Counts("s1").egress_denied.packets >= 5);
  }
  SECTION("the host itself, its other addresses, metadata: whatever the policy says") {
    CHECK_FALSE(world.Udp(s1, World::Host("10.222.0.1"), 7000));
    CHECK_FALSE(world.Udp(s1, World::Host("10.9.1.1"), 7000));
    CHECK_FALSE(world.Udp(s1v6, World::Host("fd22::1"), 7000));
    CHECK_FALSE(world.Udp(s1, {world.Out1().who, "169.254.169.254"}, 7000));
    CHECK_FALSE(world.Udp(s1, {world.Out1().who, "10.66.1.1"}, 7000));
    CHECK_FALSE(world.Udp(s1v6, {world.Out1().who, "fd00:ec2::254"}, 7000));
    CHECK(world.Udp(s1, world.Out2(), 7000));
  }
  SECTION("nobody calls it") {
    CHECK_FALSE(world.Tcp(world.Out1(), s1, 80));
    CHECK_FALSE(world.Udp(World::Host("10.222.0.1"), s1, 7000));
    CHECK_FALSE(world.Udp(world.Out1(true), s1v6, 7000));
    CHECK(world.Counts("s1").ingress_denied.packets >= 3);
  }
  SECTION("fragments are judged whole") {
    CHECK(world.Udp(s1, world.Out1(), 53, 4000));
    CHECK_FALSE(world.Udp(s1, world.Out1(), 54, 4000));
    CHECK(world.Udp(s1v6, world.Out1(true), 53, 4000));
    CHECK_FALSE(world.Udp(s1v6, world.Out1(true), 54, 4000));
  }
}

TEST_CASE("who is called decides too") {
  World world;
  world.Connect(world.Plan("s1", "a", Allow({"0.0.0.0/0", "::/0"}, {"tenant:80"})));
  world.Connect(world.Plan("s2", "a", Allow({"tenant:80"}, {"0.0.0.0/0:80", "10.9.1.0/24:90"})));
  world.Connect(world.Plan("s3", "b", Allow({"0.0.0.0/0", "::/0"}, {"0.0.0.0/0", "::/0"})));
  const auto s1 = world.Sandbox("s1");
  const auto s2 = world.Sandbox("s2");
  const auto s3 = world.Sandbox("s3");
  CHECK(world.Tcp(s1, s2, 80));
  CHECK(world.Tcp(s2, s1, 80));
  CHECK_FALSE(world.Tcp(s1, s2, 90));  // the one who is called
  CHECK_FALSE(world.Tcp(s2, s1, 90));  // the one who calls
  CHECK_FALSE(world.Tcp(s2, world.Out1(), 80));
  CHECK(world.Tcp(world.Out1(), s2, 90));
  CHECK(world.Tcp(world.Out2(), s2, 80));
  CHECK_FALSE(world.Tcp(world.Out2(), s2, 90));
  CHECK_FALSE(world.Udp(world.Out1(), s2, 90));
  // Other tenants, whatever their policies say.
  CHECK_FALSE(world.Tcp(s1, s3, 80));
  CHECK_FALSE(world.Tcp(s3, s2, 80));
  CHECK_FALSE(world.Udp(world.Sandbox("s1", true), world.Sandbox("s3", true), 80));
  CHECK(world.Tcp(s3, world.Out1(), 81));
  CHECK(world.Udp(World::Host("10.222.0.1"), s3, 81));
  CHECK(world.Udp(world.Sandbox("s3", true), world.Out2(true), 81));
}

TEST_CASE("each of two layers has to allow it") {
  World world;
  auto plan = world.Plan("s1", "a", Allow({"10.9.0.0/16:80-90", "tenant:70"}));
  plan.layers.push_back({.policy = Allow({"10.9.1.0/24:85-99", "10.222.0.0/16:70"})});
  world.Connect(plan);
  world.Connect(world.Plan("s2", "a", Allow({}, {"tenant"})));
  CHECK(world.Tcp(world.Sandbox("s1"), world.Out1(), 85));
  CHECK_FALSE(world.Tcp(world.Sandbox("s1"), world.Out1(), 80));
  CHECK_FALSE(world.Tcp(world.Sandbox("s1"), world.Out1(), 99));
  CHECK_FALSE(world.Tcp(world.Sandbox("s1"), world.Out2(), 85));
  CHECK(world.Tcp(world.Sandbox("s1"), world.Sandbox("s2"), 70));
  CHECK_FALSE(world.Tcp(world.Sandbox("s1"), world.Sandbox("s2"), 71));
}

TEST_CASE("rules may overlap") {
  World world;
  world.Connect(world.Plan("s1", "a",
                           Allow({"10.0.0.0/8:443", "10.9.0.0/16:443", "10.9.1.0/24:400-500",
                                  "10.9.1.2", "10.9.1.2/icmp", "10.9.2.0/24:440-450",
                                  "10.9.2.2:445/udp", "[::/0]:443", "fd09:1::/64"})));
  const auto s1 = world.Sandbox("s1");
  CHECK(world.Tcp(s1, world.Out1(), 443));
  CHECK(world.Udp(s1, world.Out1(), 9999));
  CHECK(world.Tcp(s1, world.Out2(), 443));
  CHECK(world.Tcp(s1, world.Out2(), 450));
  CHECK(world.Udp(s1, world.Out2(), 445));
  CHECK_FALSE(world.Udp(s1, world.Out2(), 443));
  CHECK_FALSE(world.Tcp(s1, world.Out2(), 451));
  CHECK(world.Udp(world.Sandbox("s1", true), world.Out1(true), 1));
  CHECK(world.Tcp(world.Sandbox("s1", true), world.Out2(true), 443));
}

// Whether an echo is answered, or somebody counts it as denied.
bool Ping(World& world, const World::Peer& from, const std::string& to) {
  UniqueFd fd;
  from.who->Do([&] {
    fd = UniqueFd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP));
  });
  REQUIRE(fd.valid());
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  REQUIRE(::inet_pton(AF_INET, to.c_str(), &peer.sin_addr) == 1);
  icmphdr echo{};
  echo.type = ICMP_ECHO;
  echo.checksum = static_cast<uint16_t>(~ICMP_ECHO);
  const int64_t before = world.DeniedSoFar();
  REQUIRE(::sendto(fd.get(), &echo, sizeof(echo), 0, reinterpret_cast<sockaddr*>(&peer),
                   sizeof(peer)) == sizeof(echo));
  bool answered = false;
  REQUIRE(Eventually([&] {
    std::array<char, 256> buffer{};
    const ssize_t got = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    answered = got > 20 && buffer[20] == ICMP_ECHOREPLY;
    return answered || world.DeniedSoFar() > before;
  }));
  return answered;
}

TEST_CASE("ICMP is a protocol that a policy names") {
  World world;
  world.Connect(world.Plan("s1", "a", Allow({"10.9.1.2/icmp", "10.9.2.2:1-65535"})));
  CHECK(Ping(world, world.Sandbox("s1"), "10.9.1.2"));
  CHECK_FALSE(Ping(world, world.Sandbox("s1"), "10.9.2.2"));
  CHECK_FALSE(Ping(world, world.Sandbox("s1"), "10.9.1.1"));
  CHECK_FALSE(world.Udp(world.Sandbox("s1"), world.Out1(), 9));
  CHECK(world.Tcp(world.Sandbox("s1"), world.Out2(), 9));
}

TEST_CASE("an exception lets a policy allow what is always denied") {
  World world;
  world.Connect(world.Plan("s1", "a", Allow({"10.9.1.1:8080", "10.9.1.1:8081"})));
  world.Connect(world.Plan("s2", "a", Allow({"10.9.1.1:8081"})));
  CHECK(world.Tcp(world.Sandbox("s1"), World::Host("10.9.1.1"), 8080));
  CHECK_FALSE(world.Tcp(world.Sandbox("s1"), World::Host("10.9.1.1"), 8081));
  CHECK_FALSE(world.Tcp(world.Sandbox("s2"), World::Host("10.9.1.1"), 8080));
}

TEST_CASE("DNS servers may be asked by whom a policy lets") {
  World world;
  auto policy = Allow({"0.0.0.0/0:53"});
  policy.dns = true;
  auto plan = world.Plan("s1", "a", policy);
  world.Connect(plan);
  policy.dns = false;
  world.Connect(world.Plan("s2", "a", policy));
  CHECK(world.Udp(world.Sandbox("s1"), world.Out2(), 53));
  CHECK(world.Udp(world.Sandbox("s1"), World::Host("10.9.1.1"), 53));
  CHECK(world.Tcp(world.Sandbox("s1"), World::Host("10.9.1.1"), 53));
  CHECK_FALSE(world.Udp(world.Sandbox("s1"), world.Out1(), 53));
  CHECK_FALSE(world.Udp(world.Sandbox("s2"), world.Out2(), 53));
  CHECK_FALSE(world.Tcp(world.Sandbox("s2"), World::Host("10.9.1.1"), 53));
  const auto resolv = ReadFile(world.run_dir() / "s1" / "resolv.conf");
  REQUIRE(resolv.ok());
  CHECK(*resolv == "nameserver 10.9.2.2\nnameserver 10.9.1.1\n");
}

TEST_CASE("a name allows the addresses that were found for it, and /etc/hosts has them") {
  World world;
  world.Connect(world.Plan("s1", "a", Allow({"api.example.com:443"})));
  const auto hosts = world.run_dir() / "s1" / "hosts";
  const auto before = IdentifyFile(hosts);
  const auto s1 = world.Sandbox("s1");
  CHECK_FALSE(world.Tcp(s1, world.Out1(), 443));
  world.networks().NameResolved(
      {.name = "api.example.com", .addresses = {"10.9.1.2", "fd09:1::2"}});
  CHECK(world.Tcp(s1, world.Out1(), 443));
  CHECK(world.Tcp(world.Sandbox("s1", true), world.Out1(true), 443));
  CHECK_FALSE(world.Tcp(s1, world.Out1(), 444));
  CHECK(ReadFile(hosts)->find("10.9.1.2\tapi.example.com\n") != std::string::npos);
  world.networks().NameResolved({.name = "api.example.com", .addresses = {"10.9.2.2"}});
  CHECK_FALSE(world.Tcp(s1, world.Out1(), 443));
  CHECK(world.Tcp(s1, world.Out2(), 443));
  CHECK(ReadFile(hosts)->find("10.9.1.2\tapi") == std::string::npos);
  CHECK(ReadFile(hosts)->find(s1.address + "\thost-s1\n") != std::string::npos);
  CHECK(IdentifyFile(hosts)->inode == before->inode);
  REQUIRE(world.networks().Names("s1").size() == 1);
  CHECK(world.networks().Names("s1")[0].addresses == std::vector<std::string>{"10.9.2.2"});
}

}  // namespace
}  // namespace claw::test
