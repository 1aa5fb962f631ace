#include "drivers/network/linux/netlink_reader.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <utility>

namespace claw::network {
namespace {

// Of one datagram: more than the kernel puts into one.
constexpr size_t kDatagramBytes = 256 << 10;

Status CannotOpen(int error) { return ErrnoError(error, "opening a socket to netfilter"); }

}  // namespace

StatusOr<std::unique_ptr<NetlinkReader>> NetlinkReader::Open(int buffer_bytes) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
  if (!socket.valid()) return CannotOpen(errno);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return CannotOpen(errno);
  }
  // Beyond the system's limit where that is allowed; otherwise as much as there is.
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) !=
          0 &&
      ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes)) != 0) {
    return CannotOpen(errno);
  }
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return CannotOpen(errno);
  return std::make_unique<NetlinkReader>(std::move(socket), std::move(wake));
}

NetlinkReader::NetlinkReader(UniqueFd socket, UniqueFd wake)
    : socket_(std::move(socket)), wake_(std::move(wake)), buffer_(kDatagramBytes) {}

NetlinkReader::~NetlinkReader() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = ::write(wake_.get(), &one, sizeof(one));
  thread_.join();
}

Status NetlinkReader::Ask(nlmsghdr* request, const std::function<void(const nlmsghdr&)>& on_reply) {
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request->nlmsg_seq = ++sequence_;
  if (::send(socket_.get(), request, request->nlmsg_len, 0) < 0) {
    return ErrnoError(errno, "asking netfilter");
  }
  std::optional<int> end;
  const auto take = [&](const nlmsghdr& message) {
    if (message.nlmsg_seq != sequence_) return;
    if (message.nlmsg_type != NLMSG_ERROR) {
      if (on_reply) on_reply(message);
    } else if (mnl_nlmsg_get_payload_len(&message) >= sizeof(nlmsgerr)) {
      end = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&message))->error;
    }
  };
  // The kernel has answered by the time that send returns: there is nothing to wait for.
  while (!end) {
    if (const int error = Receive(take); error != 0 && error != EINTR && error != ENOBUFS) {
      return ErrnoError(error, "reading netfilter's answer");
    }
  }
  return *end == 0 ? absl::OkStatus() : ErrnoError(*end, "asking netfilter");
}

Status NetlinkReader::Join(int group) {
  if (::setsockopt(socket_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) !=
      0) {
    return ErrnoError(errno, "listening to netfilter");
  }
  return absl::OkStatus();
}

void NetlinkReader::Run(Handler handler) {
  handler_ = std::move(handler);
  thread_ = std::thread([this] { Loop(); });
}

int NetlinkReader::Receive(const std::function<void(const nlmsghdr&)>& on_message) {
  sockaddr_nl from{};
  iovec room{.iov_base = buffer_.data(), .iov_len = buffer_.size()};
  msghdr header{};
  header.msg_name = &from;
  header.msg_namelen = sizeof(from);
  header.msg_iov = &room;
  header.msg_iovlen = 1;
  const ssize_t size = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT);
  if (size < 0) return errno;
  if (from.nl_pid != 0) return 0;  // another process speaks, not the kernel
  int rest = static_cast<int>(size);
  for (const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
       mnl_nlmsg_ok(message, rest); message = mnl_nlmsg_next(message, &rest)) {
    on_message(*message);
  }
  return (header.msg_flags & MSG_TRUNC) != 0 ? ENOBUFS : 0;
}

void NetlinkReader::Loop() {
  std::array<pollfd, 2> fds{pollfd{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                            pollfd{.fd = wake_.get(), .events = POLLIN, .revents = 0}};
  while (true) {
    ::poll(fds.data(), fds.size(), -1);
    if (fds[1].revents != 0) return;
    if (fds[0].revents == 0) continue;
    const int error = Receive(handler_.on_message);
    // Whatever else goes wrong, something may have been missed by it.
    if (error != 0 && error != EAGAIN && error != EINTR) handler_.on_lost();
  }
}

const nlattr* FindAttribute(const nlmsghdr& message, int type) {
  struct Search {
    int type = 0;
    const nlattr* found = nullptr;
  } search{.type = type};
  const auto look = [](const nlattr* attribute, void* data) {
    auto* wanted = static_cast<Search*>(data);
    if (mnl_attr_get_type(attribute) != wanted->type) return MNL_CB_OK;
    wanted->found = attribute;
    return MNL_CB_STOP;
  };
  mnl_attr_parse(&message, sizeof(nfgenmsg), look, &search);
  return search.found;
}

}  // namespace claw::network
