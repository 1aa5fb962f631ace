#include "agent/lifecycle/event_bus.h"

namespace claw::lifecycle {

EventSubscription::EventSubscription(EventBus& bus, const asio::any_io_executor& executor)
    : bus_(&bus), arrived_(executor) {
  closed_ = bus.closed_;
  bus.listeners_.insert(this);
}

EventSubscription::~EventSubscription() {
  if (bus_ != nullptr) bus_->listeners_.erase(this);
}

Task<StatusOr<Event>> EventSubscription::Next() {
  co_await asio::this_coro::throw_if_cancelled(false);
  while (queue_.empty()) {
    if (overflowed_) {
      co_return MakeError(StatusCode::kResourceExhausted,
                          "the watch did not keep up with the events; resume it",
                          {.reason = "WATCH_TOO_SLOW", .retry_after = std::chrono::seconds(0)});
    }
    const bool cancelled = co_await IsCancelled();
    if (closed_ || cancelled) {
      co_return MakeError(StatusCode::kCancelled, "the watch has ended");
    }
    co_await arrived_.Wait();
  }
  Event event = std::move(queue_.front());
  queue_.pop_front();
  co_return event;
}

bool EventSubscription::Discard() {
  const bool any = overflowed_ || !queue_.empty();
  queue_.clear();
  overflowed_ = false;
  return any;
}

EventBus::~EventBus() { Close(); }

void EventBus::Publish(const Event& event) {
  for (EventSubscription* listener : listeners_) {
    if (listener->queue_.size() >= EventSubscription::kMaxQueued) listener->overflowed_ = true;
    if (!listener->overflowed_) listener->queue_.push_back(event);
    listener->arrived_.NotifyAll();
  }
}

void EventBus::Close() {
  closed_ = true;
  for (EventSubscription* listener : listeners_) {
    listener->closed_ = true;
    listener->bus_ = nullptr;
    listener->arrived_.NotifyAll();
  }
  listeners_.clear();
}

}  // namespace claw::lifecycle
