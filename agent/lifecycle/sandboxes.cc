#include <algorithm>
#include <array>
#include <tuple>

#include "agent/lifecycle/entry.h"
#include "agent/lifecycle/node.h"

namespace claw::lifecycle {

StatusOr<Sandbox> Node::GetSandbox(const std::string& name) const {
  ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
  return entry->record;
}

std::vector<Sandbox> Node::ListSandboxes() const {
  std::vector<Sandbox> all;
  for (const auto& [id, entry] : sandboxes_) all.push_back(entry->record);
  std::sort(all.begin(), all.end(), [](const Sandbox& a, const Sandbox& b) {
    return std::tie(a.created_at, a.id) < std::tie(b.created_at, b.id);
  });
  return all;
}

Task<StatusOr<Sandbox>> Node::WaitSandbox(std::string name, bool until_released) {
  co_await asio::this_coro::throw_if_cancelled(false);
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
  while (!IsTerminal(entry->record.state) || (until_released && !entry->record.released)) {
    if (entry->removed) {
      co_return MakeError(StatusCode::kNotFound, "the sandbox did not start",
                          {.reason = "SANDBOX_NOT_FOUND"});
    }
    if (draining_) co_return Unavailable("the agent is shutting down");
    const bool cancelled = co_await IsCancelled();
    if (cancelled) co_return MakeError(StatusCode::kCancelled, "the caller is gone");
    co_await entry->changed.Wait();
  }
  co_return entry->record;
}

Task<StatusOr<std::vector<SandboxStats>>> Node::GetStats(std::string name, bool here) {
  struct Question {
    std::string id;
    drivers::Driver* driver;
    DriverHandle handle;
  };
  // A guest that hangs keeps those of the host waiting for no longer than the calls of others.
  std::array<std::vector<Question>, 2> questions;
  if (!name.empty()) CO_RETURN_IF_ERROR(FindOrError(name).status());
  for (const auto& [id, entry] : sandboxes_) {
    const Sandbox& record = entry->record;
    if (here && !VmOf(record).empty()) continue;
    if (IsRunning(record.state) && (name.empty() || entry == Find(name))) {
      questions[VmOf(record).empty() ? 0 : 1].push_back({id, DriverFor(record), record.handle});
    }
  }
  const Time now = deps_.clock.Now();
  std::vector<SandboxStats> all;
  for (std::vector<Question>& there : questions) {
    if (there.empty()) continue;
    const bool in_vms = &there == &questions[1];
    BlockingPool* pool = &deps_.pool;
    if (in_vms && deps_.guest_pool != nullptr) pool = deps_.guest_pool;
    auto work = [asked = std::move(there), now]() -> StatusOr<std::vector<SandboxStats>> {
      std::vector<SandboxStats> answers;
      for (const Question& question : asked) {
        const StatusOr<drivers::Stats> stats = question.driver->GetStats(question.handle);
        // One that has just ended has none.
        if (stats.ok()) answers.push_back({.id = question.id, .stats = *stats, .time = now});
      }
      return answers;
    };
    CO_ASSIGN_OR_RETURN(const auto answers, co_await pool->Run(std::move(work)));
    all.insert(all.end(), answers.begin(), answers.end());
  }
  co_return all;
}

}  // namespace claw::lifecycle
