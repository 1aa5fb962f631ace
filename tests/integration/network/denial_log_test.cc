#include "drivers/network/linux/denial_log.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "agent/base/subprocess.h"
#include "tests/support/own_network.h"

namespace claw::network {
namespace {

constexpr uint16_t kGroup = 77;

// Collects what is logged, for the test's own thread.
class Seen {
 public:
  void Add(const LoggedPacket& packet) {
    const std::lock_guard lock(mutex_);
    packets_.push_back(packet);
    changed_.notify_all();
  }

  std::vector<LoggedPacket> WaitFor(size_t count,
                                    std::chrono::milliseconds at_most = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, at_most, [&] { return packets_.size() >= count; });
    return packets_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<LoggedPacket> packets_;
};

void Nft(const std::string& commands) {
  const auto result = RunOrError({.argv = {"nft", "-f", "-"}}, {.input = commands});
  INFO(ToLogString(result.status()));
  REQUIRE(result.ok());
}

void SendV4(const char* to, int port) {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  REQUIRE(::inet_pton(AF_INET, to, &address.sin_addr) == 1);
  // A denied packet is an error of the sender's, which does not matter here.
  ::sendto(socket.get(), "hello", 5, 0, reinterpret_cast<const sockaddr*>(&address),
           sizeof(address));
}

void SendV6(int port) {
  const UniqueFd socket(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<uint16_t>(port));
  address.sin6_addr = in6addr_loopback;
  ::sendto(socket.get(), "hello", 5, 0, reinterpret_cast<const sockaddr*>(&address),
           sizeof(address));
}

IpAddress Address(std::string_view text) { return ParseIpAddress(text).value(); }

TEST_CASE("denial log: what rules log is told, with its direction") {
  if (!test::EnterOwnNetwork()) return;
  Seen seen;
  const auto log = DenialLog::Start(kGroup, [&](const LoggedPacket& packet) { seen.Add(packet); });
  INFO(ToLogString(log.status()));
  REQUIRE(log.ok());
  Nft(R"(table inet t {
    chain out {
      type filter hook output priority 0;
      udp dport 1001 log prefix "clawlet from" group 77 snaplen 128 drop
      udp dport 1002 log prefix "clawlet to" group 77 snaplen 128 drop
      udp dport 1003 log prefix "another's" group 77 drop
      udp dport 1004 log group 77 drop
      udp dport 1005 log prefix "clawlet from" group 78 drop
      ip protocol icmp log prefix "clawlet from" group 77 snaplen 128 drop
    }
  })");
  for (const int port : {1003, 1004, 1005, 1001, 1002}) SendV4("127.0.0.2", port);
  SendV6(1001);
  const auto packets = seen.WaitFor(3);
  REQUIRE(packets.size() == 3);
  CHECK(packets[0] == LoggedPacket{.egress = true,
                                   .source = Address("127.0.0.1"),
                                   .destination = Address("127.0.0.2"),
                                   .protocol = "udp",
                                   .port = 1001});
  CHECK(packets[1] == LoggedPacket{.egress = false,
                                   .source = Address("127.0.0.1"),
                                   .destination = Address("127.0.0.2"),
                                   .protocol = "udp",
                                   .port = 1002});
  CHECK(packets[2] == LoggedPacket{.egress = true,
                                   .source = Address("::1"),
                                   .destination = Address("::1"),
                                   .protocol = "udp",
                                   .port = 1001});
  CHECK((*log)->overruns() == 0);
}

TEST_CASE("denial log: a group has one reader, and is free again after it") {
  if (!test::EnterOwnNetwork()) return;
  const auto ignore = [](const LoggedPacket&) {};
  auto first = DenialLog::Start(kGroup, ignore);
  REQUIRE(first.ok());
  CHECK(DenialLog::Start(kGroup, ignore).status().code() == StatusCode::kPermissionDenied);
  CHECK(DenialLog::Start(kGroup + 1, ignore).ok());
  first->reset();
  CHECK(DenialLog::Start(kGroup, ignore).ok());
}

TEST_CASE("denial log: more than can be read is counted, and it goes on") {
  if (!test::EnterOwnNetwork()) return;
  Seen seen;
  std::mutex gate;
  std::unique_lock closed(gate);  // the callback waits at it
  const auto log = DenialLog::Start(kGroup, [&](const LoggedPacket& packet) {
    if (packet.port == 1001) {
      const std::lock_guard wait(gate);
    } else {
      seen.Add(packet);
    }
  });
  REQUIRE(log.ok());
  Nft(R"(table inet t {
    chain out {
      type filter hook output priority 0;
      udp dport { 1001, 1002 } log prefix "clawlet from" group 77 queue-threshold 1
      drop
    }
  })");
  for (int i = 0; i < 10'000; ++i) SendV4("127.0.0.2", 1001);
  closed.unlock();
  // There is room for the next one only when those that found some have been read.
  bool told = false;
  for (int i = 0; i < 200 && !told; ++i) {
    SendV4("127.0.0.2", 1002);
    told = !seen.WaitFor(1, std::chrono::milliseconds(100)).empty();
  }
  CHECK(told);
  CHECK((*log)->overruns() > 0);
}

}  // namespace
}  // namespace claw::network
