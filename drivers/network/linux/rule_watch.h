#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/base/status.h"
#include "drivers/network/linux/netlink_reader.h"

namespace claw::network {

// Tells when somebody else changes the rules of nftables in the tables of a name, families inet and
// bridge. It listens to what the kernel tells of each transaction; one thread, asleep in between.
//
// Somebody else is who is not a thread of this process at the time that the message is read: a
// transaction of a thread that has ended by then counts as another's. In a pid namespace, where the
// kernel's numbers cannot be compared with ours, all transactions do. So the callback has to look
// before it acts.
class RuleWatch {
 public:
  // What the kernel may have to tell at once; more than this calls back, whoever did it.
  static constexpr int kBufferBytes = 16 << 20;

  // Watches the network namespace of the calling thread, from its return on. `on_change` comes from
  // the watch's thread, once for each transaction of somebody else that changed, added or removed
  // something in these tables, after it has taken effect; and when messages were lost. It must not
  // destroy the watch, and should be quick, for messages wait meanwhile. PERMISSION_DENIED without
  // CAP_NET_ADMIN.
  static StatusOr<std::unique_ptr<RuleWatch>> Start(std::string table,
                                                    std::function<void()> on_change,
                                                    int buffer_bytes = kBufferBytes);

  RuleWatch(std::string table, std::function<void()> on_change, bool pids_are_ours,
            std::unique_ptr<NetlinkReader> reader);  // for Start
  ~RuleWatch();  // joins the thread: `on_change` is not called any more when it returns
  RuleWatch(const RuleWatch&) = delete;
  RuleWatch& operator=(const RuleWatch&) = delete;

 private:
  void Take(const nlmsghdr& message);
  void Lost();
  bool Touches(const nlmsghdr& message) const;
  bool IsOurs(const nlmsghdr& generation) const;

  const std::string table_;
  const std::function<void()> on_change_;
  const bool pids_are_ours_;
  bool touched_ = false;  // by the transaction whose end has not been read yet
  std::unique_ptr<NetlinkReader> reader_;
};

}  // namespace claw::network
