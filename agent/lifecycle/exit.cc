#include <algorithm>

#include "agent/base/strings.h"
#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {
namespace {

constexpr auto kFirstRetry = std::chrono::milliseconds(200);
constexpr auto kLongestRetry = std::chrono::milliseconds(30'000);
// How long a sandbox that removes itself keeps its output for a reader that has not come yet.
constexpr auto kKeepOutput = std::chrono::seconds(60);

std::string Describe(const Sandbox& sandbox) {
  if (!sandbox.exit) return sandbox.failure;
  return StrCat("exit code ", sandbox.exit->exit_code, ", ", ToString(sandbox.exit->reason),
                ", peak ", FormatBytes(sandbox.exit->memory_peak_bytes));
}

// A guest is asked, which may take as long as it does not answer.
Task<void> WaitInVm(asio::any_io_executor strand, BlockingPool& pool, drivers::Driver* driver,
                    DriverHandle handle, std::function<void(drivers::ExitObservation)> on_exit) {
  for (;;) {
    auto wait = [driver, handle, on_exit] { return driver->Wait(handle, on_exit); };
    const Status waiting = co_await pool.Run(std::move(wait));
    // The pool may have been full.
    if (waiting.code() != StatusCode::kUnavailable) co_return;
    asio::steady_timer timer(strand, kFirstRetry);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

}  // namespace

void Node::WatchExit(const std::shared_ptr<Entry>& entry) {
  drivers::Driver* driver = DriverFor(entry->record);
  // From the driver's thread to the strand. The entry outlives its sandbox, so a late call does no
  // harm.
  auto on_exit = [this, entry, executor = deps_.strand](drivers::ExitObservation seen) {
    asio::post(executor, [this, entry, executor, seen = std::move(seen)]() mutable {
      asio::co_spawn(executor, OnExit(entry, std::move(seen)), asio::detached);
    });
  };
  if (!VmOf(entry->record).empty()) {
    auto waiting =
        WaitInVm(deps_.strand, PoolFor(entry->record), driver, entry->record.handle, on_exit);
    asio::co_spawn(deps_.strand, std::move(waiting), asio::detached);
    return;
  }
  StartMeasuring();
  const Status waiting = driver->Wait(entry->record.handle, on_exit);
  // A handle that cannot be read: what it stood for cannot be watched, so it is ended.
  if (!waiting.ok()) on_exit({.exited_at = deps_.clock.Now()});
}

Task<void> Node::OnExit(std::shared_ptr<Entry> entry, drivers::ExitObservation seen) {
  const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
  if (entry->removed || IsTerminal(entry->record.state)) co_return;
  CloseWindow(*entry, deps_.clock.Now());
  Sandbox ended = entry->record;
  if (seen.exit_code) {
    ended.state = SandboxState::kExited;
    ended.exit = ExitInfo{.exit_code = *seen.exit_code,
                          .reason = EndReason::kExited,
                          .memory_peak_bytes = seen.memory_peak_bytes,
                          .exited_at = seen.exited_at};
    if (entry->stop_requested) ended.exit->reason = EndReason::kStopped;
    if (entry->evicted) ended.exit->reason = EndReason::kEvicted;
    if (entry->revoked) ended.exit->reason = EndReason::kRevoked;
    if (seen.oom_killed) ended.exit->reason = EndReason::kOomKilled;
    if (seen.reason != EndReason::kNone) ended.exit->reason = seen.reason;
  } else {
    ended.state = SandboxState::kLost;
    const bool rebooted = seen.reason == EndReason::kHostRestart ||
                          (VmOf(ended).empty() && ended.process.boot_id != deps_.host.boot_id);
    ended.failure = rebooted ? "the machine went down while it ran"
                             : "its supervisor is gone; nobody saw how it ended";
    if (!seen.failure.empty()) ended.failure = seen.failure;
    ended.exit = ExitInfo{.exit_code = 255,
                          .reason = rebooted ? EndReason::kHostRestart : EndReason::kNone,
                          .memory_peak_bytes = seen.memory_peak_bytes,
                          .exited_at = seen.exited_at};
  }
  const std::string type = ended.state == SandboxState::kLost            ? "sandbox.lost"
                           : ended.exit->reason == EndReason::kOomKilled ? "sandbox.oom_killed"
                                                                         : "sandbox.exited";
  counters_.CountExit(ended, entry->evicted);
  co_await SaveReality(entry, ended, type, Describe(ended));
  asio::co_spawn(deps_.strand, Release(entry), asio::detached);
}

Task<void> Node::SaveReality(std::shared_ptr<Entry> entry, Sandbox changed, std::string event_type,
                             std::string message) {
  auto pause = kFirstRetry;
  for (;;) {
    const Status saved = co_await Save(entry, changed, event_type, message);
    if (saved.ok()) co_return;
    // The disk may be full. What happened has happened: callers are told at once.
    changed.revision = entry->record.revision;
    SetRecord(*entry, changed);
    entry->changed.NotifyAll();
    if (draining_) co_return;
    co_await Sleep(pause);
    pause = std::min(pause * 2, kLongestRetry);
  }
}

Task<void> Node::Release(std::shared_ptr<Entry> entry) {
  drivers::Driver* driver = DriverFor(entry->record);
  auto pause = kFirstRetry;
  while (driver != nullptr && !entry->removed) {
    {
      const AsyncMutex::Lock lock = co_await AsyncMutex::Acquire(entry->mutex);
      // Removed meanwhile: saved now, the record would be back in the store.
      if (entry->removed || entry->record.released) break;
      const Status gone = co_await Dismantle(driver, entry->record);
      if (gone.ok()) {
        Sandbox released = entry->record;
        released.released = true;
        co_await SaveReality(
            entry, released, "sandbox.released",
            StrCat(FormatBytes(ChargedBytes(released.resources.memory)), " no longer charged"));
        break;
      }
    }
    if (draining_) co_return;
    co_await Sleep(pause);
    pause = std::min(pause * 2, kLongestRetry);
  }
  if (entry->record.spec.auto_remove) co_await RemoveWhenRead(entry);
}

Task<void> Node::RemoveWhenRead(std::shared_ptr<Entry> entry) {
  const Timeout timeout(deps_.strand, kKeepOutput, Entry::Changes(entry));
  while (!draining_ && !entry->removed &&
         (entry->log_readers > 0 || (!entry->log_was_read && !timeout.expired()))) {
    co_await entry->changed.Wait();
  }
  if (draining_ || entry->removed) co_return;
  store::RequestRecord nobodys;
  (co_await RemoveEntry(entry, std::move(nobodys), "agent")).IgnoreError();
}

Task<void> Node::Sleep(std::chrono::milliseconds time) {
  asio::steady_timer timer(deps_.strand, time);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace claw::lifecycle
