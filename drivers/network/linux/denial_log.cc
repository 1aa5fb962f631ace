#include "drivers/network/linux/denial_log.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_log/libnetfilter_log.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <array>
#include <optional>
#include <utility>

#include "agent/base/strings.h"
#include "drivers/network/packet.h"

namespace claw::network {
namespace {

constexpr int kBufferBytes = 1 << 20;
// Of each packet: IP with its options or extensions, and the ports.
constexpr uint32_t kCopyBytes = 256;
// So many packets, or what has come in so long, are told of at once.
constexpr uint32_t kGatherPackets = 32;
constexpr uint32_t kGatherHundredths = 10;

// To configure the group; the caller adds what.
nlmsghdr* ConfigRequest(std::array<char, 128>& buffer, uint16_t group) {
  return nflog_nlmsg_put_header(buffer.data(), NFULNL_MSG_CONFIG, AF_UNSPEC, group);
}

Status Bind(NetlinkReader& reader, uint16_t group) {
  alignas(nlmsghdr) std::array<char, 128> buffer{};
  nlmsghdr* request = ConfigRequest(buffer, group);
  nflog_attr_put_cfg_cmd(request, NFULNL_CFG_CMD_BIND);
  return Annotate(reader.Ask(request), StrCat("binding to NFLOG group ", group));
}

Status Configure(NetlinkReader& reader, uint16_t group) {
  alignas(nlmsghdr) std::array<char, 128> buffer{};
  nlmsghdr* request = ConfigRequest(buffer, group);
  nflog_attr_put_cfg_mode(request, NFULNL_COPY_PACKET, kCopyBytes);
  mnl_attr_put_u32(request, NFULA_CFG_QTHRESH, htonl(kGatherPackets));
  mnl_attr_put_u32(request, NFULA_CFG_TIMEOUT, htonl(kGatherHundredths));
  return Annotate(reader.Ask(request), "configuring NFLOG");
}

// Empty if it is not there.
std::string_view Bytes(const nlmsghdr& message, int type) {
  const nlattr* attribute = FindAttribute(message, type);
  if (attribute == nullptr) return {};
  return {static_cast<const char*>(mnl_attr_get_payload(attribute)),
          mnl_attr_get_payload_len(attribute)};
}

}  // namespace

StatusOr<std::unique_ptr<DenialLog>> DenialLog::Start(
    uint16_t group, std::function<void(const LoggedPacket&)> on_packet) {
  ASSIGN_OR_RETURN(std::unique_ptr<NetlinkReader> reader, NetlinkReader::Open(kBufferBytes));
  RETURN_IF_ERROR(Bind(*reader, group));
  RETURN_IF_ERROR(Configure(*reader, group));
  return std::make_unique<DenialLog>(std::move(on_packet), std::move(reader));
}

DenialLog::DenialLog(std::function<void(const LoggedPacket&)> on_packet,
                     std::unique_ptr<NetlinkReader> reader)
    : on_packet_(std::move(on_packet)), reader_(std::move(reader)) {
  reader_->Run({.on_message = [this](const nlmsghdr& message) { Take(message); },
                .on_lost = [this] { ++overruns_; }});
}

DenialLog::~DenialLog() = default;

void DenialLog::Take(const nlmsghdr& message) {
  if (message.nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET)) return;
  std::string_view prefix = Bytes(message, NFULA_PREFIX);
  prefix = prefix.substr(0, prefix.find('\0'));
  if (prefix != kEgressLogPrefix && prefix != kIngressLogPrefix) return;
  const std::optional<IpPacket> packet = ParseIpPacket(Bytes(message, NFULA_PAYLOAD));
  if (!packet) return;
  on_packet_({.egress = prefix == kEgressLogPrefix,
              .source = packet->source,
              .destination = packet->destination,
              .protocol = ProtocolName(*packet),
              .port = packet->port});
}

}  // namespace claw::network
