#pragma once

#include <linux/netlink.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"

namespace claw::network {

// A socket to the kernel's netfilter and one thread that reads it, asleep in poll() in between. The
// socket is of the network namespace of the thread that opens it. First Ask and Join, then Run, all
// from one thread.
class NetlinkReader {
 public:
  struct Handler {
    // Both on the reader's thread, which must not destroy the reader.
    std::function<void(const nlmsghdr&)> on_message{};
    std::function<void()> on_lost{};  // the kernel had more to tell than there was room for
  };

  // Up to so many bytes wait to be read. PERMISSION_DENIED without CAP_NET_ADMIN.
  static StatusOr<std::unique_ptr<NetlinkReader>> Open(int buffer_bytes);

  NetlinkReader(UniqueFd socket, UniqueFd wake);  // for Open
  // Joins the thread: nothing is called any more when it returns.
  ~NetlinkReader();
  NetlinkReader(const NetlinkReader&) = delete;
  NetlinkReader& operator=(const NetlinkReader&) = delete;

  // Sends a request, of which flags and sequence number are set here, and waits for its end. Other
  // messages that come in between are dropped. Errors are what the kernel answered.
  Status Ask(nlmsghdr* request, const std::function<void(const nlmsghdr&)>& on_reply = {});
  // What is told to this multicast group (NFNLGRP_…) is read from now on.
  Status Join(int group);
  void Run(Handler handler);

 private:
  // One datagram, without waiting: an errno, or 0.
  int Receive(const std::function<void(const nlmsghdr&)>& on_message);
  void Loop();

  const UniqueFd socket_;
  const UniqueFd wake_;
  std::vector<char> buffer_;
  unsigned sequence_ = 0;
  Handler handler_;
  std::thread thread_;
};

// The first attribute of this number in a message of netfilter's; nullptr: it has none.
const nlattr* FindAttribute(const nlmsghdr& message, int type);

}  // namespace claw::network
