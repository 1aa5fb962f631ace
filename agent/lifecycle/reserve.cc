#include <algorithm>

#include "agent/base/id.h"
#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/plan.h"
#include "agent/lifecycle/request_guard.h"
#include "agent/lifecycle/vms.h"
#include "agent/model/json.h"

namespace claw::lifecycle {
namespace {

constexpr char kBatchSubject[] = "reservations/batch";

std::string Fingerprint(const std::vector<Wanted>& wanted, bool all_or_nothing) {
  std::string text = all_or_nothing ? "all" : "some";
  for (const Wanted& one : wanted) {
    Sandbox sandbox;
    sandbox.spec = one.spec;
    text += StrCat("\n", one.ttl.count(), " ", one.id, one.image_digest, " ", ToJson(sandbox));
  }
  return ContentFingerprint(text);
}

Status CheckLease(std::chrono::milliseconds ttl) {
  if (ttl > std::chrono::milliseconds(0) && ttl <= kMaxLease) return absl::OkStatus();
  return MakeError(StatusCode::kInvalidArgument,
                   StrCat("a reservation may be held for up to ", kMaxLease.count() / 1000,
                          " seconds, not for ", ttl.count(), " ms"),
                   {.reason = "INVALID_ARGUMENT", .constraint = "ttl"});
}

// The places of a batch as its request remembers them: ids, and "-" for those that were refused.
std::string ToSubject(const std::vector<std::string>& ids) {
  return StrCat(kBatchSubject, " ", Join(ids, " "));
}

Status IsOver(const std::string& id) {
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("this request reserved ", id, ", which is over"),
                   {.reason = "ALREADY_DONE", .constraint = "request_id"});
}

Status IsCommitted(const Sandbox& sandbox) {
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("reservation ", sandbox.id, " has been committed: sandbox ", sandbox.id,
                          " is ", ToString(sandbox.state)),
                   {.reason = "COMMITTED", .constraint = "name", .outcome = Outcome::kRefused});
}

Status WasRefused() {
  return MakeError(
      StatusCode::kResourceExhausted,
      "this request was answered before, and then there was no place for it: ask "
      "with a new request_id",
      {.reason = "REFUSED_BEFORE", .constraint = "request_id", .outcome = Outcome::kRefused});
}

}  // namespace

// From the check to the charge there is no co_await: nobody can take the room in between.
StatusOr<Node::Placed> Node::Place(const Call& call, const Wanted& wanted, bool held) {
  StatusOr<Plan> planned = MakePlan(wanted.spec, wanted.image_digest);
  if (!planned.ok()) {
    counters_.CountRefusal(planned.status());
    return WithOutcome(planned.status(), Outcome::kRefused);
  }
  Sandbox& record = planned->record;
  record.id = wanted.id.empty() ? RandomHex(kSandboxIdLength) : wanted.id;
  record.host_record = wanted.host_record;
  record.request_id = call.request_id;
  record.created_at = deps_.clock.Now();
  if (held) {
    record.lease = Lease{
        .expires_at = record.created_at + wanted.ttl, .ttl = wanted.ttl, .held_by = call.actor};
  }
  Placed placed;
  placed.entry = std::make_shared<Entry>(record, deps_.strand);
  placed.plan = std::make_shared<Plan>(*std::move(planned));
  Adopt(placed.entry);
  return placed;
}

// One transaction for all of them, with the request that asked for them.
Task<Status> Node::RecordPlaces(std::vector<std::shared_ptr<Entry>> entries,
                                store::RequestRecord request, std::string actor) {
  std::vector<Event> events;
  std::vector<Sandbox> records;
  for (const std::shared_ptr<Entry>& entry : entries) {
    const Sandbox& record = entry->record;
    std::string message =
        StrCat(FormatBytes(ChargedBytes(record.resources.memory)), " charged, class ",
               ToString(record.isolation), ": ", record.decision.reason);
    if (record.lease) {
      message = StrCat("held until ", FormatTime(record.lease->expires_at), "; ", message);
    }
    Event event = MakeEvent("sandbox.reserved", StrCat("sandboxes/", record.id), record.spec.tenant,
                            std::move(message), actor);
    entry->record.revision = event.revision;
    records.push_back(entry->record);
    events.push_back(std::move(event));
  }
  auto write = [records, request](store::Transaction& txn) -> Status {
    for (const Sandbox& record : records) RETURN_IF_ERROR(txn.PutSandbox(record));
    return RecordRequest(txn, request);
  };
  const Status saved = co_await Commit(std::move(write), std::move(events));
  if (saved.ok()) {
    RememberRequest(request);
    for (const std::shared_ptr<Entry>& entry : entries) BeginLease(entry);
    co_return saved;
  }
  for (const std::shared_ptr<Entry>& entry : entries) Forget(entry);
  counters_.CountRefusal(saved);
  co_return saved;
}

Task<StatusOr<std::vector<StatusOr<Sandbox>>>> Node::Reserve(Call call, std::vector<Wanted> wanted,
                                                             bool all_or_nothing) {
  co_await Uncancellable();
  for (const Wanted& one : wanted) {
    CO_RETURN_IF_ERROR(ValidateSpec(one.spec));
    CO_RETURN_IF_ERROR(CheckLease(one.ttl));
  }
  co_await LookAround();
  const std::string fingerprint = Fingerprint(wanted, all_or_nothing);
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "Reserve", fingerprint));
  if (earlier) co_return ReservedEarlier(*earlier);
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });

  for (const Wanted& one : wanted) co_await vms_->MakeReady(one);

  std::vector<StatusOr<Sandbox>> answers;
  std::vector<std::shared_ptr<Entry>> entries;
  std::vector<std::string> ids;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const StatusOr<Placed> placed = Place(call, wanted[i], true);
    if (placed.ok()) {
      entries.push_back(placed->entry);
      ids.push_back(placed->entry->record.id);
      continue;
    }
    ids.push_back("-");
    answers.push_back(placed.status());
    if (!all_or_nothing) continue;
    for (const std::shared_ptr<Entry>& entry : entries) Forget(entry);
    if (wanted.size() == 1) co_return placed.status();
    co_return Annotate(placed.status(),
                       StrCat("nothing was reserved; number ", i + 1, " of ", wanted.size()));
  }
  if (!entries.empty()) {
    // Nobody commits what is not durable.
    std::vector<AsyncMutex::Lock> locks;
    for (const std::shared_ptr<Entry>& entry : entries) {
      AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
      locks.push_back(std::move(lock));
    }
    auto request = MakeRequest(call.request_id, "Reserve", fingerprint, ToSubject(ids));
    CO_RETURN_IF_ERROR(co_await RecordPlaces(entries, std::move(request), call.actor));
  }
  // In the order of the request.
  std::vector<StatusOr<Sandbox>> ordered;
  size_t reserved = 0;
  size_t refused = 0;
  for (const std::string& id : ids) {
    if (id == "-") {
      ordered.push_back(answers[refused++]);
    } else {
      ordered.emplace_back(entries[reserved++]->record);
    }
  }
  co_return ordered;
}

std::vector<StatusOr<Sandbox>> Node::ReservedEarlier(const store::RequestRecord& earlier) const {
  std::vector<StatusOr<Sandbox>> answers;
  std::vector<std::string_view> words = Split(earlier.subject, ' ', true);
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string id(words[i]);
    if (id == "-") {
      answers.emplace_back(WasRefused());
      continue;
    }
    const std::shared_ptr<Entry> entry = Find(id);
    if (entry == nullptr) {
      answers.emplace_back(IsOver(StrCat("reservations/", id)));
    } else {
      answers.emplace_back(entry->record);
    }
  }
  return answers;
}

StatusOr<std::shared_ptr<Node::Entry>> Node::FindReservation(const std::string& name) const {
  const auto it = sandboxes_.find(name);
  if (it == sandboxes_.end()) {
    return MakeError(
        StatusCode::kNotFound,
        StrCat("there is no reservation '", name,
               "': it was never made, was released, or has expired"),
        {.reason = "RESERVATION_NOT_FOUND", .constraint = "name", .outcome = Outcome::kRefused});
  }
  if (!it->second->record.lease) return IsCommitted(it->second->record);
  return it->second;
}

Task<Status> Node::ReleaseReservation(Call call, std::string name, bool allow_missing) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(name);
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "Release", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  StatusOr<std::shared_ptr<Entry>> entry = FindReservation(name);
  if (!entry.ok()) {
    const bool gone = entry.status().code() == StatusCode::kNotFound;
    co_return gone&& allow_missing ? absl::OkStatus() : entry.status();
  }
  auto request = MakeRequest(call.request_id, "Release", fingerprint,
                             StrCat("reservations/", (*entry)->record.id));
  co_return co_await EndReservation(*entry, std::move(request), "released", call);
}

Task<Status> Node::EndReservation(std::shared_ptr<Entry> entry, store::RequestRecord request,
                                  std::string why, Call call) {
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
  CO_RETURN_IF_ERROR(CheckFence(call.fence));
  if (entry->removed) {
    // It has expired meanwhile, which is as good.
    auto remember = [request](store::Transaction& txn) { return RecordRequest(txn, request); };
    if (!request.request_id.empty()) {
      CO_RETURN_IF_ERROR(co_await Commit(std::move(remember)));
    }
    RememberRequest(request);
    co_return absl::OkStatus();
  }
  if (!entry->record.lease) co_return IsCommitted(entry->record);
  std::vector<Event> events;
  events.push_back(MakeEvent(
      StrCat("reservation.", why), StrCat("sandboxes/", entry->record.id),
      entry->record.spec.tenant,
      StrCat(FormatBytes(ChargedBytes(entry->record.resources.memory)), " no longer charged"),
      call.actor));
  co_return co_await DropRecord(entry, std::move(request), std::move(events));
}

}  // namespace claw::lifecycle
