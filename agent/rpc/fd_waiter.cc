#include "agent/rpc/fd_waiter.h"

#include <fcntl.h>

#include <cerrno>

#include "agent/base/unique_fd.h"

namespace claw::rpc {

StatusOr<FdWaiter> FdWaiter::Make(const asio::any_io_executor& strand, int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return ErrnoError(errno, "wait for a descriptor");
  FdWaiter waiter(strand);
  boost::system::error_code error;
  waiter.descriptor_.assign(copy.get(), error);
  if (error) return ErrnoError(error.value(), "wait for a descriptor");
  [[maybe_unused]] const int owned_by_asio_now = copy.release();
  return waiter;
}

void FdWaiter::Stop() {
  stopped_ = true;
  boost::system::error_code ignored;
  descriptor_.cancel(ignored);
}

Task<bool> FdWaiter::Ready(asio::posix::stream_descriptor::wait_type what) {
  // A cancellation from before the wait would not end it.
  const bool cancelled = co_await lifecycle::IsCancelled();
  if (stopped_ || cancelled) co_return false;
  boost::system::error_code error;
  co_await descriptor_.async_wait(what, asio::redirect_error(asio::use_awaitable, error));
  co_return !error && !stopped_;
}

}  // namespace claw::rpc
