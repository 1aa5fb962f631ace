#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "agent/rpc/context.h"
#include "agent/rpc/streams.h"

namespace claw::rpc {

// What a long call says of its progress, until it can be sent: a line in `message` of each Message.
// A slow reader misses the older lines. On the strand only.
template <typename Message>
class ProgressLines {
 public:
  explicit ProgressLines(const asio::any_io_executor& strand) : changed_(strand) {}

  void Add(std::string line) {
    if (waiting_.size() == kMaxWaiting) waiting_.pop_front();
    waiting_.push_back(std::move(line));
    changed_.NotifyAll();
  }

  // Until it is cancelled, or its reader is gone.
  Task<Status> Forward(Sink<Message>& sink) {
    for (;;) {
      const bool cancelled = co_await lifecycle::IsCancelled();
      if (cancelled) break;
      if (waiting_.empty()) {
        co_await changed_.Wait();
        continue;
      }
      Message progress;
      progress.set_message(std::move(waiting_.front()));
      waiting_.pop_front();
      const bool taken = co_await sink.Write(std::move(progress));
      if (!taken) break;
    }
    co_return absl::OkStatus();
  }

 private:
  static constexpr size_t kMaxWaiting = 64;

  lifecycle::Notifier changed_;
  std::deque<std::string> waiting_;
};

}  // namespace claw::rpc
