#include <algorithm>
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

Task<StatusOr<Sandbox>> Node::WaitSandbox(std::string name) {
  co_await asio::this_coro::throw_if_cancelled(false);
  CO_ASSIGN_OR_RETURN(const std::shared_ptr<Entry> entry, FindOrError(name));
  while (!IsTerminal(entry->record.state)) {
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

Task<StatusOr<std::vector<SandboxStats>>> Node::GetStats(std::string name) {
  struct Question {
    std::string id;
    drivers::Driver* driver;
    DriverHandle handle;
  };
  std::vector<Question> questions;
  if (!name.empty()) CO_RETURN_IF_ERROR(FindOrError(name).status());
  for (const auto& [id, entry] : sandboxes_) {
    const Sandbox& record = entry->record;
    if (IsRunning(record.state) && (name.empty() || entry == Find(name))) {
      questions.push_back({id, DriverFor(record.driver), record.handle});
    }
  }
  const Time now = deps_.clock.Now();
  auto work = [questions, now]() -> StatusOr<std::vector<SandboxStats>> {
    std::vector<SandboxStats> answers;
    for (const Question& question : questions) {
      const StatusOr<drivers::Stats> stats = question.driver->GetStats(question.handle);
      // One that has just ended has none.
      if (stats.ok()) answers.push_back({.id = question.id, .stats = *stats, .time = now});
    }
    return answers;
  };
  co_return co_await deps_.pool.Run(std::move(work));
}

}  // namespace claw::lifecycle
