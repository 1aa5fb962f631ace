#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <set>

#include "agent/lifecycle/async.h"
#include "agent/model/event.h"

namespace claw::lifecycle {

class EventBus;

// One listener's queue of events. On the strand only. Destroying it ends the subscription.
class EventSubscription {
 public:
  EventSubscription(EventBus& bus, const asio::any_io_executor& executor);
  ~EventSubscription();
  EventSubscription(const EventSubscription&) = delete;
  EventSubscription& operator=(const EventSubscription&) = delete;

  // The next event; waits for it. RESOURCE_EXHAUSTED, reason WATCH_TOO_SLOW, when events were lost
  // because the queue was full; CANCELLED when the waiting coroutine was cancelled or the node
  // shuts down.
  Task<StatusOr<Event>> Next();
  // Drops what waits, for those who want to know no more than that something has changed; whether
  // there was anything.
  bool Discard();

 private:
  friend class EventBus;
  static constexpr size_t kMaxQueued = 4096;

  EventBus* bus_;
  Notifier arrived_;
  std::deque<Event> queue_;
  bool overflowed_ = false;
  bool closed_ = false;
};

// Hands events to all who listen. On the strand only.
class EventBus {
 public:
  ~EventBus();
  void Publish(const Event& event);
  // Wakes all listeners for the last time; whoever comes later is told at once.
  void Close();

 private:
  friend class EventSubscription;
  std::set<EventSubscription*> listeners_;
  bool closed_ = false;
};

}  // namespace claw::lifecycle
