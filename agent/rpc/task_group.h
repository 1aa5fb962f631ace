#pragma once

#include <boost/asio/cancellation_signal.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "agent/base/status.h"
#include "agent/lifecycle/async.h"

namespace claw::rpc {

namespace asio = boost::asio;
using lifecycle::Task;

// Coroutines that run beside the one that started them. Their parent calls Stop before it ends, so
// that they may refer to what it owns. On the strand only.
class TaskGroup {
 public:
  explicit TaskGroup(const asio::any_io_executor& strand)
      : state_(std::make_shared<State>(strand)) {}

  struct Child {
    bool ended = false;
    Status status{};
  };

  // Starts `body` at once; after Stop it starts cancelled.
  std::shared_ptr<const Child> Spawn(std::function<Task<Status>()> body);

  // Until the condition holds; it is looked at when a child has ended. Also answers when the
  // waiting coroutine has been cancelled.
  Task<void> WaitUntil(std::function<bool()> condition);

  // Cancels the children that are left and waits for their end.
  Task<void> Stop();

 private:
  struct Running {
    Child child;
    asio::cancellation_signal signal;
  };
  struct State {
    explicit State(const asio::any_io_executor& executor) : strand(executor), changed(executor) {}
    asio::any_io_executor strand;
    lifecycle::Notifier changed;
    std::vector<std::shared_ptr<Running>> running;
    bool stopping = false;
  };

  std::shared_ptr<State> state_;
};

}  // namespace claw::rpc
