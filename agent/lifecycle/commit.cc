#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/plan.h"
#include "agent/lifecycle/request_guard.h"

namespace claw::lifecycle {

Task<StatusOr<Sandbox>> Node::CommitReservation(Call call, std::string name) {
  co_await Uncancellable();
  co_await LookAround();
  const std::string fingerprint = ContentFingerprint(name);
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "Commit", fingerprint));
  if (earlier) co_return StartedEarlier(*earlier);
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindReservation(name));
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
  // The wait may have been long.
  CO_RETURN_IF_ERROR(FindReservation(name).status());
  CO_RETURN_IF_ERROR(CheckFence(call.fence));
  if (HasExpired(*entry)) {
    co_return MakeError(
        StatusCode::kFailedPrecondition, StrCat("reservation ", name, " has expired"),
        {.reason = "RESERVATION_EXPIRED", .constraint = "ttl", .outcome = Outcome::kRefused});
  }
  const auto began = std::chrono::steady_clock::now();
  StatusOr<Plan> planned = PlanReserved(*entry);
  if (!planned.ok()) {
    counters_.CountRefusal(planned.status());
    co_return WithOutcome(planned.status(), Outcome::kRefused);
  }
  // From here on it is no reservation any more: whatever comes, the place is not held again.
  Plan plan = *std::move(planned);
  Sandbox committed = plan.record;
  committed.lease.reset();
  committed.request_id = call.request_id;
  auto request =
      MakeRequest(call.request_id, "Commit", fingerprint, StrCat("sandboxes/", entry->record.id));
  CO_RETURN_IF_ERROR(co_await RecordCommit(entry, committed, std::move(request), call.actor));
  co_return co_await Start(entry, std::move(plan), began);
}

Task<Status> Node::RecordCommit(std::shared_ptr<Entry> entry, Sandbox committed,
                                store::RequestRecord request, std::string actor) {
  Event event = MakeEvent("sandbox.committed", StrCat("sandboxes/", committed.id),
                          committed.spec.tenant, "its reservation is taken up", std::move(actor));
  committed.revision = event.revision;
  std::vector<Event> events;
  events.push_back(std::move(event));
  auto write = [committed, request](store::Transaction& txn) -> Status {
    RETURN_IF_ERROR(txn.PutSandbox(committed));
    return RecordRequest(txn, request);
  };
  CO_RETURN_IF_ERROR(co_await Commit(std::move(write), std::move(events)));
  RememberRequest(request);
  EndLease(*entry);
  SetRecord(*entry, std::move(committed));
  entry->changed.NotifyAll();
  co_return absl::OkStatus();
}

StatusOr<Sandbox> Node::StartedEarlier(const store::RequestRecord& earlier) const {
  if (earlier.code != 0) return WithOutcome(EarlierError(earlier), Outcome::kUndone);
  const std::shared_ptr<Entry> entry = Find(ResourceId(earlier.subject));
  if (entry != nullptr) return entry->record;
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("this request made ", earlier.subject, ", which has been removed"),
                   {.reason = "ALREADY_DONE", .constraint = "request_id"});
}

// The caller holds the sandbox's mutex.
Task<StatusOr<Sandbox>> Node::Start(std::shared_ptr<Entry> entry, Plan plan,
                                    std::chrono::steady_clock::time_point began) {
  const Sandbox& record = entry->record;
  plan.launch.id = record.id;
  plan.launch.hostname = record.spec.display_name.empty() ? record.id : record.spec.display_name;
  plan.launch.record_json = WriteKeptRecord(record, plan.tenant);
  StatusOr<Sandbox> running = co_await Launch(entry, std::move(plan));
  counters_.CountStart(entry->record.driver, running.ok(),
                       std::chrono::steady_clock::now() - began);
  if (running.ok()) co_return running;
  co_return co_await AbandonStart(entry, running.status());
}

}  // namespace claw::lifecycle
