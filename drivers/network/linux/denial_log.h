#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "agent/base/ip.h"
#include "agent/base/status.h"
#include "drivers/network/linux/netlink_reader.h"

namespace claw::network {

// The prefixes of the rules that log, as nft writes them.
constexpr std::string_view kEgressLogPrefix = "clawlet from";
constexpr std::string_view kIngressLogPrefix = "clawlet to";

// One packet that a rule has logged.
struct LoggedPacket {
  bool egress = true;
  IpAddress source{};
  IpAddress destination{};
  std::string protocol{};  // "tcp", "udp", "icmp" (of IPv6 too), or the number
  int port = 0;            // the destination's, of tcp and udp; 0 otherwise

  bool operator==(const LoggedPacket&) const = default;
};

// Reads the packets that rules send to a group of NFLOG. One thread, asleep in between. It does not
// bound how many come: that is for the rules, with a limit.
class DenialLog {
 public:
  // Reads the group in the network namespace of the calling thread. `on_packet` comes from the
  // log's thread, for packets of IP with one of the prefixes above; it must not destroy the log.
  // The kernel gathers packets for up to 0.1 seconds. PERMISSION_DENIED without CAP_NET_ADMIN, and
  // (the kernel says the same) if somebody else reads the group.
  static StatusOr<std::unique_ptr<DenialLog>> Start(
      uint16_t group, std::function<void(const LoggedPacket&)> on_packet);

  DenialLog(std::function<void(const LoggedPacket&)> on_packet,
            std::unique_ptr<NetlinkReader> reader);  // for Start
  ~DenialLog();  // joins the thread: `on_packet` is not called any more when it returns
  DenialLog(const DenialLog&) = delete;
  DenialLog& operator=(const DenialLog&) = delete;

  // How often packets were lost because they came faster than they were read. Thread-safe.
  int64_t overruns() const { return overruns_; }

 private:
  void Take(const nlmsghdr& message);

  const std::function<void(const LoggedPacket&)> on_packet_;
  std::atomic<int64_t> overruns_ = 0;
  std::unique_ptr<NetlinkReader> reader_;
};

}  // namespace claw::network
