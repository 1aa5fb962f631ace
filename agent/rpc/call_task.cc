#include "agent/rpc/call_task.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>

namespace claw::rpc {

Status FromException(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    return Internal("unexpected: ", error.what());
  } catch (...) {
    return Internal("unexpected: an exception of no known type");
  }
}

Task<Status> RunQuietly(std::function<Task<Status>()> body) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_return co_await body();
}

CallTask::CallTask(asio::any_io_executor strand, WhenCallerLeaves when)
    : strand_(std::move(strand)), when_(when) {}

void CallTask::Start(std::function<Task<Status>()> body, std::function<void(Status)> done) {
  asio::post(strand_, [self = shared_from_this(), body = std::move(body),
                       done = std::move(done)]() mutable {
    asio::co_spawn(self->strand_, RunQuietly(std::move(body)),
                   asio::bind_cancellation_slot(
                       self->signal_.slot(),
                       [self, done = std::move(done)](std::exception_ptr exception, Status status) {
                         self->Finish(std::move(exception), std::move(status), done);
                       }));
  });
}

void CallTask::Cancel(std::function<void()> also) {
  asio::post(strand_, [self = shared_from_this(), also = std::move(also)] {
    if (also) also();
    if (self->when_ == WhenCallerLeaves::kFinish) return;
    self->cancelled_ = true;
    self->signal_.emit(asio::cancellation_type::terminal);
  });
}

void CallTask::Finish(std::exception_ptr exception, Status status,
                      const std::function<void(Status)>& done) {
  if (exception) status = FromException(exception);
  if (status.code() == StatusCode::kCancelled && !cancelled_) {
    status = MakeError(StatusCode::kUnavailable, "the node's agent is shutting down",
                       {.reason = "SHUTTING_DOWN", .retry_after = std::chrono::seconds(1)});
  }
  done(std::move(status));
}

}  // namespace claw::rpc
