#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"

namespace claw::lifecycle {

Task<Status> Node::DeleteSandbox(Call call, std::string name, bool force, bool allow_missing) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(name);
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "DeleteSandbox", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  const std::shared_ptr<Entry> entry = Find(name);
  if (entry == nullptr) co_return allow_missing ? absl::OkStatus() : FindOrError(name).status();
  auto request = MakeRequest(call.request_id, "DeleteSandbox", fingerprint,
                             StrCat("sandboxes/", entry->record.id));
  if (entry->record.lease) {
    const Status ended = co_await EndReservation(entry, request, "released", call);
    // Unless a commit came before and has started it, that is all.
    if (ended.ok() || entry->record.lease) co_return ended;
  }
  if (!IsTerminal(entry->record.state)) {
    if (!force) {
      co_return MakeError(StatusCode::kFailedPrecondition,
                          StrCat("sandbox ", entry->record.id, " is ",
                                 ToString(entry->record.state), "; stop it first, or force it"),
                          {.reason = "STILL_RUNNING", .constraint = "state"});
    }
    CO_RETURN_IF_ERROR(co_await EndProgram(entry, std::chrono::milliseconds(0), call.actor));
  }
  co_return co_await RemoveEntry(entry, std::move(request), call.actor);
}

Task<Status> Node::RemoveEntry(std::shared_ptr<Entry> entry, store::RequestRecord request,
                               std::string actor) {
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
  if (entry->removed) co_return absl::OkStatus();
  drivers::Driver* driver = DriverFor(entry->record);
  if (driver == nullptr) {
    co_return FailedPrecondition("this node no longer has the driver ", entry->record.driver);
  }
  const Status purged = co_await Erase(driver, entry->record, entry->record.released);
  CO_RETURN_IF_ERROR(Annotate(purged, StrCat("remove sandbox ", entry->record.id)));
  std::vector<Event> events;
  events.push_back(MakeEvent("sandbox.removed", StrCat("sandboxes/", entry->record.id),
                             entry->record.spec.tenant, "removed with its output",
                             std::move(actor)));
  co_return co_await DropRecord(entry, std::move(request), std::move(events));
}

Task<Status> Node::Erase(drivers::Driver* driver, Sandbox record, bool released) {
  if (!released) {
    CO_RETURN_IF_ERROR(co_await Dismantle(driver, record));
  }
  auto purge = [driver, id = record.id] { return driver->Purge(id); };
  co_return co_await PoolFor(record).Run(std::move(purge));
}

Task<Status> Node::Dismantle(drivers::Driver* driver, Sandbox record) {
  auto destroy = [driver, id = record.id] { return driver->Destroy(id); };
  CO_RETURN_IF_ERROR(co_await PoolFor(record).Run(std::move(destroy)));
  if (record.network_mode == NetworkMode::kNone) co_return absl::OkStatus();
  co_return co_await network_.Detach(record.id);
}

}  // namespace claw::lifecycle
