#include "drivers/network/dns_channel.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "agent/base/ip.h"
#include "agent/base/strings.h"

namespace claw::network {
namespace {

DnsReply Failed(int status) {
  const auto problem = [&]() -> std::string {
    switch (status) {
      case ARES_ETIMEOUT:
        return "no DNS server answered in time";
      case ARES_ECONNREFUSED:  // which c-ares also says of SERVFAIL and REFUSED from the last one
        return "the DNS servers cannot be reached or have failed";
      case ARES_EBADRESP:
        return "the DNS server's answer is malformed";
      default:
        return StrCat("DNS: ", ares_strerror(status));
    }
  };
  return {.kind = DnsReply::Kind::kFailed, .problem = problem()};
}

// The higher half of the range reads as negative: as nothing, says RFC 2181.
std::chrono::seconds Ttl(int ttl) { return std::chrono::seconds(std::max(ttl, 0)); }

void Add(const IpAddress& address, int ttl, DnsReply& reply) {
  reply.ttl = reply.addresses.empty() ? Ttl(ttl) : std::min(reply.ttl, Ttl(ttl));
  reply.addresses.push_back(ToString(address));
}

int ParseA(const unsigned char* bytes, int size, DnsReply& reply) {
  std::array<ares_addrttl, DnsChannel::kMaxAddresses> found{};
  int count = found.size();
  const int status = ares_parse_a_reply(bytes, size, nullptr, found.data(), &count);
  if (status != ARES_SUCCESS) return status;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    IpAddress address;
    std::memcpy(address.bytes.data(), &found[i].ipaddr, sizeof(found[i].ipaddr));
    Add(address, found[i].ttl, reply);
  }
  return ARES_SUCCESS;
}

int ParseAaaa(const unsigned char* bytes, int size, DnsReply& reply) {
  std::array<ares_addr6ttl, DnsChannel::kMaxAddresses> found{};
  int count = found.size();
  const int status = ares_parse_aaaa_reply(bytes, size, nullptr, found.data(), &count);
  if (status != ARES_SUCCESS) return status;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    IpAddress address{.v6 = true};
    std::memcpy(address.bytes.data(), &found[i].ip6addr, address.bytes.size());
    const IpPrefix mapped{
        .address = {.v6 = true, .bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, .bits = 96};
    if (!Contains(mapped, address)) Add(address, found[i].ttl, reply);
  }
  return ARES_SUCCESS;
}

DnsReply MakeReply(bool v6, int status, const unsigned char* bytes, int size) {
  DnsReply reply{.kind = DnsReply::Kind::kAddresses};
  if (status == ARES_SUCCESS) {
    status = v6 ? ParseAaaa(bytes, size, reply) : ParseA(bytes, size, reply);
  }
  switch (status) {
    case ARES_SUCCESS:
      if (!reply.addresses.empty()) return reply;
      return {.kind = DnsReply::Kind::kNone};
    case ARES_ENODATA:
      return {.kind = DnsReply::Kind::kNone};
    case ARES_ENOTFOUND:
      return {.kind = DnsReply::Kind::kNoSuchName};
    default:
      return Failed(status);
  }
}

// As c-ares takes them, which copies them: a list through a vector.
StatusOr<std::vector<ares_addr_port_node>> MakeServers(const ResolverConfig& config) {
  if (config.servers.empty()) return InvalidArgument("there are no DNS servers to ask");
  std::vector<ares_addr_port_node> nodes;
  for (const std::string& server : config.servers) {
    ASSIGN_OR_RETURN(const IpAddress address, ParseIpAddress(server));
    ares_addr_port_node node{};
    node.family = address.v6 ? AF_INET6 : AF_INET;
    std::memcpy(&node.addr, address.bytes.data(), address.v6 ? 16 : 4);
    node.udp_port = node.tcp_port = config.port;
    nodes.push_back(node);
  }
  for (size_t i = 0; i + 1 < nodes.size(); ++i) nodes[i].next = &nodes[i + 1];
  return nodes;
}

}  // namespace

StatusOr<std::unique_ptr<DnsChannel>> DnsChannel::Open(const ResolverConfig& config) {
  auto channel = std::make_unique<DnsChannel>();
  RETURN_IF_ERROR(channel->Init(config));
  return channel;
}

DnsChannel::DnsChannel() = default;
DnsChannel::~DnsChannel() = default;

void DnsChannel::Destroy::operator()(ares_channeldata* channel) const { ares_destroy(channel); }

Status DnsChannel::Init(const ResolverConfig& config) {
  ASSIGN_OR_RETURN(std::vector<ares_addr_port_node> servers, MakeServers(config));
  // Everything that c-ares would otherwise look up in /etc/resolv.conf and in the environment.
  char lookups[] = "b";
  ares_options options{};
  options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES;
  options.timeout = static_cast<int>(config.query_timeout.count());
  options.tries = config.tries;
  options.ndots = 1;
  options.lookups = lookups;
  options.sock_state_cb = OnSocket;
  options.sock_state_cb_data = this;
  const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS |
                   ARES_OPT_SERVERS | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SORTLIST |
                   ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE;
  // (ares_library_init does nothing but on Windows, and would not be safe beside gRPC's use of it.)
  ares_channeldata* channel = nullptr;
  int status = ares_init_options(&channel, &options, mask);
  if (status == ARES_SUCCESS) {
    channel_.reset(channel);
    status = ares_set_servers_ports(channel, servers.data());
  }
  if (status != ARES_SUCCESS) return Internal("starting c-ares: ", ares_strerror(status));
  return absl::OkStatus();
}

void DnsChannel::Ask(const std::string& name, bool v6, std::function<void(DnsReply)> on_reply) {
  questions_.push_front({.v6 = v6, .on_reply = std::move(on_reply), .channel = this});
  questions_.front().self = questions_.begin();
  ares_query(channel_.get(), name.c_str(), ns_c_in, v6 ? ns_t_aaaa : ns_t_a, OnReply,
             &questions_.front());
}

void DnsChannel::OnReply(void* question, int status, int /*timeouts*/, unsigned char* bytes,
                         int size) {
  auto* asked = static_cast<Question*>(question);
  const Question mine = std::move(*asked);
  mine.channel->questions_.erase(mine.self);
  if (status == ARES_EDESTRUCTION) return;
  mine.on_reply(MakeReply(mine.v6, status, bytes, size));
}

void DnsChannel::OnSocket(void* self, int socket, int readable, int writable) {
  auto* channel = static_cast<DnsChannel*>(self);
  if (readable == 0 && writable == 0) {
    channel->sockets_.erase(socket);
    return;
  }
  channel->sockets_[socket] =
      static_cast<short>((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0));
}

std::vector<pollfd> DnsChannel::Polled() const {
  std::vector<pollfd> polled;
  for (const auto& [socket, events] : sockets_) {
    polled.push_back({.fd = socket, .events = events, .revents = 0});
  }
  return polled;
}

std::optional<std::chrono::milliseconds> DnsChannel::Timeout() const {
  timeval room{};
  const timeval* wait = ares_timeout(channel_.get(), nullptr, &room);
  if (wait == nullptr) return std::nullopt;
  return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::seconds(wait->tv_sec) +
                                                      std::chrono::microseconds(wait->tv_usec));
}

void DnsChannel::Process(const std::vector<pollfd>& polled) {
  for (const pollfd& socket : polled) {
    if (socket.revents == 0) continue;
    // An error is found by reading, or by writing what waits to be written.
    const bool error = (socket.revents & ~(POLLIN | POLLOUT)) != 0;
    const bool read = error || (socket.revents & POLLIN) != 0;
    const bool write = (socket.events & POLLOUT) != 0 && (error || (socket.revents & POLLOUT) != 0);
    ares_process_fd(channel_.get(), read ? socket.fd : ARES_SOCKET_BAD,
                    write ? socket.fd : ARES_SOCKET_BAD);
  }
  ares_process_fd(channel_.get(), ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // what has taken too long
}

}  // namespace claw::network
