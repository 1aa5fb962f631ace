#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <functional>
#include <memory>

#include "agent/base/status.h"
#include "agent/lifecycle/async.h"

namespace claw::rpc {

namespace asio = boost::asio;
using lifecycle::Task;

// What becomes of a call's work when its caller has gone. Reads and waits are cancelled. A change
// that has begun is carried to its end: half of it would help nobody, and a retry with the same
// request id finds its result.
enum class WhenCallerLeaves { kCancel, kFinish };

// The coroutine behind one call. Start and Cancel may come from any thread, Start once and first;
// everything else happens on the strand.
class CallTask : public std::enable_shared_from_this<CallTask> {
 public:
  CallTask(asio::any_io_executor strand, WhenCallerLeaves when);

  // Calls `done` on the strand with what `body` answered. An exception in it is INTERNAL; its being
  // cancelled by anyone but the caller means that the node shuts down, which is UNAVAILABLE.
  void Start(std::function<Task<Status>()> body, std::function<void(Status)> done);

  // The caller has gone; `also` is called on the strand.
  void Cancel(std::function<void()> also = {});

 private:
  void Finish(std::exception_ptr exception, Status status, const std::function<void(Status)>& done);

  const asio::any_io_executor strand_;
  const WhenCallerLeaves when_;
  asio::cancellation_signal signal_;
  bool cancelled_ = false;
};

// What an exception says, as an INTERNAL error.
Status FromException(const std::exception_ptr& exception);

// Runs `body` with cancellation that shows in results, never as an exception out of a co_await:
// that would unwind a change half-way.
Task<Status> RunQuietly(std::function<Task<Status>()> body);

}  // namespace claw::rpc
