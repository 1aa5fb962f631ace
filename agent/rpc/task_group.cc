#include "agent/rpc/task_group.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>

#include "agent/rpc/call_task.h"

namespace claw::rpc {

std::shared_ptr<const TaskGroup::Child> TaskGroup::Spawn(std::function<Task<Status>()> body) {
  auto running = std::make_shared<Running>();
  state_->running.push_back(running);
  asio::co_spawn(state_->strand, RunQuietly(std::move(body)),
                 asio::bind_cancellation_slot(
                     running->signal.slot(),
                     [state = state_, running](std::exception_ptr exception, Status status) {
                       running->child.status =
                           exception ? FromException(exception) : std::move(status);
                       running->child.ended = true;
                       std::erase(state->running, running);
                       state->changed.NotifyAll();
                     }));
  if (state_->stopping) running->signal.emit(asio::cancellation_type::terminal);
  return {running, &running->child};
}

Task<void> TaskGroup::WaitUntil(std::function<bool()> condition) {
  while (!condition()) {
    const bool cancelled = co_await lifecycle::IsCancelled();
    if (cancelled) co_return;
    co_await state_->changed.Wait();
  }
}

Task<void> TaskGroup::Stop() {
  state_->stopping = true;
  const auto left = state_->running;
  for (const auto& running : left) running->signal.emit(asio::cancellation_type::terminal);
  while (!state_->running.empty()) co_await state_->changed.Wait();
}

}  // namespace claw::rpc
