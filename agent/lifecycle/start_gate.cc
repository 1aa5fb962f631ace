#include "agent/lifecycle/start_gate.h"

#include "agent/base/strings.h"

namespace claw::lifecycle {

Status StartGate::CheckRoom() const {
  if (!MustWait() || queued() < max_queued_) return absl::OkStatus();
  return MakeError(StatusCode::kUnavailable,
                   StrCat(queued(), " starts wait for their turn already"),
                   {.reason = "START_QUEUE_FULL",
                    .constraint = "limits.start_queue",
                    .needed = StrCat(queued() + 1, " places"),
                    .available = StrCat(max_queued_, " places"),
                    .retry_after = std::chrono::seconds(2)});
}

Task<StatusOr<StartGate::Pass>> StartGate::Enter(std::shared_ptr<StartGate> gate) {
  CO_RETURN_IF_ERROR(gate->CheckRoom());
  if (gate->MustWait()) {
    const uint64_t ticket = gate->next_ticket_++;
    gate->queue_.push_back(ticket);
    while (gate->queue_.front() != ticket || gate->under_way_ >= gate->at_once_) {
      co_await gate->changed_.Wait();
    }
    gate->queue_.pop_front();
    // The next one may find room, too.
    gate->changed_.NotifyAll();
  }
  ++gate->under_way_;
  co_return Pass(gate);
}

}  // namespace claw::lifecycle
