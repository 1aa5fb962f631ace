#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "agent/lifecycle/async.h"

namespace claw::lifecycle {

// Lets so many starts happen at once, the others in the order in which they came. For the agent's
// strand only.
class StartGate {
 public:
  StartGate(const asio::any_io_executor& executor, int64_t at_once, int64_t max_queued)
      : at_once_(at_once), max_queued_(max_queued), changed_(executor) {}

  // Held while a start is under way.
  class Pass {
   public:
    explicit Pass(std::shared_ptr<StartGate> gate) : gate_(std::move(gate)) {}
    Pass(Pass&&) noexcept = default;
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (!gate_) return;
      --gate_->under_way_;
      gate_->changed_.NotifyAll();
    }

   private:
    std::shared_ptr<StartGate> gate_;
  };

  // UNAVAILABLE, reason START_QUEUE_FULL, if one more would have to wait and may not.
  Status CheckRoom() const;
  // The same error, or the pass when it is this one's turn.
  static Task<StatusOr<Pass>> Enter(std::shared_ptr<StartGate> gate);

  int64_t at_once() const { return at_once_; }
  int64_t under_way() const { return under_way_; }
  int64_t queued() const { return static_cast<int64_t>(queue_.size()); }

 private:
  bool MustWait() const { return !queue_.empty() || under_way_ >= at_once_; }

  const int64_t at_once_;
  const int64_t max_queued_;
  Notifier changed_;
  int64_t under_way_ = 0;
  uint64_t next_ticket_ = 0;
  std::deque<uint64_t> queue_;  // tickets of those who wait
};

}  // namespace claw::lifecycle
