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

Task<Status> Node::PassFence(Call call) {
  if (call.fence.generation < 0) {
    co_return WithOutcome(InvalidArgument("a controller's generation is not negative"),
                          Outcome::kRefused);
  }
  CO_RETURN_IF_ERROR(CheckFence(call.fence));
  if (call.fence.generation <= state_.controller_generation) co_return absl::OkStatus();
  // It counts from now on, and before anything is done in its name it is durable.
  state_.controller_generation = call.fence.generation;
  std::vector<Event> events;
  events.push_back(MakeEvent("node.controller_changed", "node", "",
                             StrCat("generation ", call.fence.generation), call.actor));
  const Status saved = co_await SaveState(std::move(events));
  co_return WithOutcome(saved, Outcome::kRefused);
}

Task<Status> Node::SaveState(std::vector<Event> events) {
  // Writes are made in the order in which they are asked for, so the last one has all.
  auto write = [state = state_](store::Transaction& txn) { return txn.PutNodeState(state); };
  co_return co_await Commit(std::move(write), std::move(events));
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
  // It counts even if it cannot be recorded.
  state_.cordoned = true;
  state_.cordon_reason = reason;
  state_.cordoned_by = call.actor;
  state_.cordoned_at = deps_.clock.Now();
  std::string text = StrCat("takes no new sandboxes", reason.empty() ? "" : ": ", reason);
  co_return co_await RecordState(std::move(call), "Cordon", fingerprint, "node.cordoned",
                                 std::move(text));
}

Task<Status> Node::Uncordon(Call call) {
  co_await Uncancellable();
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "Uncordon", "node"));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const NodeState before = state_;
  state_.cordoned = false;
  state_.cordon_reason.clear();
  state_.cordoned_by.clear();
  state_.cordoned_at = {};
  const Status saved = co_await RecordState(std::move(call), "Uncordon", "node", "node.uncordoned",
                                            "takes new sandboxes");
  if (!saved.ok() && !state_.cordoned) {
    // After a restart it would be cordoned again: so it is.
    const int64_t generation = state_.controller_generation;
    state_ = before;
    state_.controller_generation = generation;
  }
  co_return saved;
}

Task<Status> Node::RecordState(Call call, std::string method, std::string fingerprint,
                               std::string event_type, std::string message) {
  auto request = MakeRequest(call.request_id, std::move(method), std::move(fingerprint), "node");
  std::vector<Event> events;
  events.push_back(MakeEvent(std::move(event_type), "node", "", std::move(message), call.actor));
  auto write = [state = state_, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutNodeState(state));
    return RecordRequest(txn, request);
  };
  CO_RETURN_IF_ERROR(co_await Commit(std::move(write), std::move(events)));
  RememberRequest(request);
  co_return absl::OkStatus();
}

}  // namespace claw::lifecycle
