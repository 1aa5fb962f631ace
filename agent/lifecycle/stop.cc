#include <csignal>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"
#include "agent/lifecycle/request_guard.h"

namespace claw::lifecycle {

Task<StatusOr<Sandbox>> Node::StopSandbox(Call call, std::string name,
                                          std::optional<std::chrono::milliseconds> grace) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(name);
  CO_ASSIGN_OR_RETURN(const auto earlier, co_await BeginRequest(call, "StopSandbox", fingerprint));
  if (earlier) co_return GetSandbox(ResourceId(earlier->subject));
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
  if (entry->record.lease) {
    co_return MakeError(
        StatusCode::kFailedPrecondition,
        StrCat("sandbox ", entry->record.id, " is only reserved; release its reservation"),
        {.reason = "NOT_STARTED", .constraint = "state", .outcome = Outcome::kRefused});
  }
  CO_RETURN_IF_ERROR(co_await EndProgram(entry, grace.value_or(config_.stop_grace), call.actor));
  if (!call.request_id.empty()) {
    const auto request = MakeRequest(call.request_id, "StopSandbox", fingerprint,
                                     StrCat("sandboxes/", entry->record.id));
    auto write = [request](store::Transaction& txn) { return RecordRequest(txn, request); };
    CO_RETURN_IF_ERROR(co_await Commit(std::move(write)));
    RememberRequest(request);
  }
  co_return entry->record;
}

Task<Status> Node::SignalSandbox(Call call, std::string name, int signal) {
  co_await Uncancellable();
  const std::string fingerprint = ContentFingerprint(StrCat(name, " ", signal));
  CO_ASSIGN_OR_RETURN(const auto earlier,
                      co_await BeginRequest(call, "SignalSandbox", fingerprint));
  if (earlier) co_return absl::OkStatus();
  const RequestGuard guard([this, id = call.request_id] { FinishRequest(id); });
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
  {
    // Held while a start is under way, too: it is sent once the program runs.
    const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
    if (entry->removed || IsTerminal(entry->record.state)) co_return absl::OkStatus();
    drivers::Driver* driver = DriverFor(entry->record);
    if (!IsRunning(entry->record.state)) co_return absl::OkStatus();
    auto work = [driver, handle = entry->record.handle, signal] {
      return driver->Kill(handle, signal);
    };
    const Status sent = co_await PoolFor(entry->record).Run(std::move(work));
    CO_RETURN_IF_ERROR(Annotate(sent, "send a signal to the sandbox"));
  }
  auto request = MakeRequest(call.request_id, "SignalSandbox", fingerprint,
                             StrCat("sandboxes/", entry->record.id));
  std::vector<Event> events;
  events.push_back(MakeEvent("sandbox.signalled", StrCat("sandboxes/", entry->record.id),
                             entry->record.spec.tenant, StrCat("signal ", signal), call.actor));
  auto write = [request](store::Transaction& txn) { return RecordRequest(txn, request); };
  CO_RETURN_IF_ERROR(co_await Commit(std::move(write), std::move(events)));
  RememberRequest(request);
  co_return absl::OkStatus();
}

Task<Status> Node::EndProgram(std::shared_ptr<Entry> entry, std::chrono::milliseconds grace,
                              std::string actor) {
  if (entry->record.lease) {
    store::RequestRecord nobodys;
    Call call;
    call.actor = actor;
    const Status ended = co_await EndReservation(entry, std::move(nobodys), "released", call);
    // Unless a commit came before and has started it, that is all.
    if (ended.ok() || entry->record.lease) co_return ended;
  }
  drivers::Driver* driver = DriverFor(entry->record);
  for (const int signal : {SIGTERM, SIGKILL}) {
    if (signal == SIGTERM && grace.count() == 0) continue;
    {
      // Held while a start is under way too: it is stopped once it runs.
      const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
      if (entry->removed || IsTerminal(entry->record.state)) co_return absl::OkStatus();
      entry->stop_requested = true;
      if (entry->record.state == SandboxState::kRunning) {
        Sandbox stopping = entry->record;
        CO_RETURN_IF_ERROR(Transition(stopping, SandboxState::kStopping));
        // Stopping must work on a full disk; then only the note about it is missing.
        const Status noted =
            co_await Save(entry, stopping, "sandbox.stopping",
                          StrCat("asked to end within ", grace.count(), " ms"), actor);
        if (!noted.ok()) entry->record.state = SandboxState::kStopping;
      }
      auto work = [driver, handle = entry->record.handle, signal] {
        return driver->Kill(handle, signal);
      };
      const Status sent = co_await PoolFor(entry->record).Run(std::move(work));
      // A program that cannot be asked is not waited for.
      if (!sent.ok() && signal == SIGTERM) continue;
      CO_RETURN_IF_ERROR(Annotate(sent, "stop the sandbox"));
    }
    const std::chrono::milliseconds at_most = signal == SIGTERM ? grace : std::chrono::seconds(30);
    co_await AwaitEnd(entry, at_most);
    if (entry->removed || IsTerminal(entry->record.state)) co_return absl::OkStatus();
  }
  co_return MakeError(StatusCode::kDeadlineExceeded, "the sandbox has been killed but does not end",
                      {.reason = "STILL_RUNNING", .retry_after = std::chrono::seconds(5)});
}

Task<void> Node::AwaitEnd(std::shared_ptr<Entry> entry, std::chrono::milliseconds at_most) {
  const Timeout timeout(deps_.strand, at_most, Entry::Changes(entry));
  while (!timeout.expired() && !entry->removed && !IsTerminal(entry->record.state)) {
    co_await entry->changed.Wait();
  }
}

}  // namespace claw::lifecycle
