#include <algorithm>

#include "agent/base/strings.h"
#include "agent/base/utf8.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"

namespace claw::lifecycle {
namespace {

Status Stale(const char* reason, const char* constraint, std::string_view message,
             std::string needed, std::string available) {
  return MakeError(StatusCode::kFailedPrecondition, message,
                   {.reason = reason,
                    .constraint = constraint,
                    .needed = std::move(needed),
                    .available = std::move(available),
                    .outcome = Outcome::kRefused});
}

}  // namespace

Status Node::CheckFence(const Fence& fence) const {
  if (fence.generation < 0) {
    return WithOutcome(InvalidArgument("a controller's generation is not negative"),
                       Outcome::kRefused);
  }
  if (!fence.boot_id.empty() && fence.boot_id != deps_.host.boot_id) {
    return Stale("STALE_BOOT_ID", "fence.boot_id",
                 "the machine has been booted since: what ran before does not run any more",
                 fence.boot_id, deps_.host.boot_id);
  }
  if (!fence.incarnation.empty() && fence.incarnation != incarnation_) {
    return Stale("STALE_INCARNATION", "fence.incarnation_id",
                 "the agent has been restarted since: look at the node again", fence.incarnation,
                 incarnation_);
  }
  if (fence.generation != 0 && fence.generation < state_.controller_generation) {
    return Stale("STALE_CONTROLLER", "fence.controller_generation",
                 "a newer controller has taken over", StrCat(fence.generation),
                 StrCat(state_.controller_generation));
  }
  return absl::OkStatus();
}

// Before anything is done in a controller's name its generation is durable: after a crash an older
// one must not be taken for it.
Task<Status> Node::RaiseGeneration(Call call) {
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(state_mutex_);
  if (call.fence.generation <= durable_generation_) co_return absl::OkStatus();
  state_.controller_generation = std::max(state_.controller_generation, call.fence.generation);
  std::vector<Event> events;
  events.push_back(MakeEvent("node.controller_changed", "node", "",
                             StrCat("generation ", state_.controller_generation), call.actor));
  store::RequestRecord nobodys;
  const Status saved = co_await SaveState(state_, std::move(nobodys), std::move(events));
  co_return WithOutcome(saved, Outcome::kRefused);
}

// The caller holds state_mutex_.
Task<Status> Node::SaveState(NodeState state, store::RequestRecord request,
                             std::vector<Event> events) {
  auto write = [state, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutNodeState(state));
    return RecordRequest(txn, request);
  };
  CO_RETURN_IF_ERROR(co_await Commit(std::move(write), std::move(events)));
  durable_generation_ = state.controller_generation;
  RememberRequest(request);
  co_return absl::OkStatus();
}

Task<Status> Node::Cordon(Call call, std::string reason) {
  co_await Uncancellable();
  if (!IsUtf8(reason) || reason.size() > kMaxCordonReasonBytes) {
    co_return InvalidArgument("a reason is UTF-8 of at most ", kMaxCordonReasonBytes, " bytes");
  }
  const std::string fingerprint = ContentFingerprint(reason);
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "Cordon", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(state_mutex_);
  CO_RETURN_IF_ERROR(CheckFence(call.fence));
  // It counts at once, even if it cannot be recorded.
  state_.cordoned = true;
  state_.cordon_reason = reason;
  state_.cordoned_by = call.actor;
  state_.cordoned_at = deps_.clock.Now();
  const std::string text = StrCat("takes no new sandboxes", reason.empty() ? "" : ": ", reason);
  std::vector<Event> events;
  events.push_back(MakeEvent("node.cordoned", "node", "", text, call.actor));
  auto request = MakeRequest(call.request_id, "Cordon", fingerprint, "node");
  co_return co_await SaveState(state_, std::move(request), std::move(events));
}

Task<Status> Node::Uncordon(Call call) {
  co_await Uncancellable();
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "Uncordon", "node"));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(state_mutex_);
  CO_RETURN_IF_ERROR(CheckFence(call.fence));
  // It counts only when a restart would not take it back.
  NodeState open = state_;
  open.cordoned = false;
  open.cordon_reason.clear();
  open.cordoned_by.clear();
  open.cordoned_at = {};
  std::vector<Event> events;
  events.push_back(MakeEvent("node.uncordoned", "node", "", "takes new sandboxes", call.actor));
  auto request = MakeRequest(call.request_id, "Uncordon", "node", "node");
  CO_RETURN_IF_ERROR(co_await SaveState(open, std::move(request), std::move(events)));
  state_ = open;
  co_return absl::OkStatus();
}

// What the node knew of itself was damaged and is in quarantine: it may have been cordoned.
Task<void> Node::CordonAfterDamage() {
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(state_mutex_);
  state_.cordoned = true;
  state_.cordoned_by = "agent";
  state_.cordoned_at = deps_.clock.Now();
  state_.cordon_reason =
      "what the node knew of itself was damaged, the generation of its controller with it: see "
      "its events, then uncordon it";
  std::vector<Event> events;
  events.push_back(MakeEvent("node.cordoned", "node", "", state_.cordon_reason));
  store::RequestRecord nobodys;
  (co_await SaveState(state_, std::move(nobodys), std::move(events))).IgnoreError();
}

}  // namespace claw::lifecycle
