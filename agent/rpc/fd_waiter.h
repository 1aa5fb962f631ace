#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>

#include "agent/base/status.h"
#include "agent/lifecycle/async.h"

namespace claw::rpc {

namespace asio = boost::asio;
using lifecycle::Task;

// Waits on the strand for a descriptor that belongs to someone else. Keeps a duplicate of it: the
// other end of a pipe sees its end only when this is gone, too.
class FdWaiter {
 public:
  static StatusOr<FdWaiter> Make(const asio::any_io_executor& strand, int fd);

  // False: Stop was called, or the waiting coroutine has been cancelled.
  Task<bool> Readable() { return Ready(asio::posix::stream_descriptor::wait_read); }
  Task<bool> Writable() { return Ready(asio::posix::stream_descriptor::wait_write); }

  // No wait lasts any longer, nor will any later one.
  void Stop();

 private:
  explicit FdWaiter(const asio::any_io_executor& strand) : descriptor_(strand) {}
  Task<bool> Ready(asio::posix::stream_descriptor::wait_type what);

  asio::posix::stream_descriptor descriptor_;
  bool stopped_ = false;
};

}  // namespace claw::rpc
