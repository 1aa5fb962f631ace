#include "drivers/guest/exit_watch.h"

#include <algorithm>

namespace claw::drivers {
namespace {

constexpr std::chrono::milliseconds kFirstPause = std::chrono::milliseconds(200);
constexpr std::chrono::milliseconds kLongestPause = std::chrono::seconds(5);

std::string IdOf(const pb::Sandbox& sandbox) {
  return sandbox.name().substr(sandbox.name().find('/') + 1);
}

EndReason ReasonOf(pb::EndReason reason) {
  switch (reason) {
    case pb::END_REASON_PROOF_FAILED:
      return EndReason::kProofFailed;
    case pb::END_REASON_REVOKED:
      return EndReason::kRevoked;
    case pb::END_REASON_EVICTED:
      return EndReason::kEvicted;
    default:
      return EndReason::kNone;  // it ended by itself, or as its host wanted it
  }
}

// That nobody saw the end of.
ExitObservation Vanished() {
  return {.exited_at = SystemClock().Now(), .failure = "its guest knows nothing of it"};
}

}  // namespace

bool IsOver(const pb::Sandbox& sandbox) {
  return sandbox.state() == pb::SANDBOX_STATE_EXITED ||
         sandbox.state() == pb::SANDBOX_STATE_FAILED || sandbox.state() == pb::SANDBOX_STATE_LOST;
}

ExitObservation ToObservation(const pb::Sandbox& sandbox) {
  ExitObservation seen;
  if (sandbox.state() == pb::SANDBOX_STATE_EXITED) seen.exit_code = sandbox.exit().exit_code();
  seen.oom_killed = sandbox.exit().reason() == pb::END_REASON_OOM_KILLED;
  seen.memory_peak_bytes = sandbox.exit().memory_peak_bytes();
  seen.exited_at = FromMicros(sandbox.exit().exit_time().seconds() * 1'000'000 +
                              sandbox.exit().exit_time().nanos() / 1000);
  seen.reason = ReasonOf(sandbox.exit().reason());
  seen.failure = sandbox.failure();
  return seen;
}

ExitWatch::~ExitWatch() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    waiting_.clear();
    if (stream_ != nullptr) stream_->TryCancel();
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ExitWatch::Watch(const std::string& id, std::function<void(ExitObservation)> on_exit) {
  {
    const std::lock_guard lock(mutex_);
    waiting_[id] = std::move(on_exit);
    if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  }
  changed_.notify_all();
  // The stream may have told of its end before anybody asked.
  Look(id);
}

void ExitWatch::Forget(const std::string& id) {
  const std::lock_guard lock(mutex_);
  waiting_.erase(id);
}

void ExitWatch::Tell(const std::string& id, const ExitObservation& seen) {
  // Under the lock, so that nobody is told after Forget.
  const std::lock_guard lock(mutex_);
  const auto it = waiting_.find(id);
  if (it == waiting_.end()) return;
  const auto on_exit = std::move(it->second);
  waiting_.erase(it);
  on_exit(seen);
}

void ExitWatch::Look(const std::string& id) {
  pb::GetSandboxRequest request;
  request.set_name(StrCat("sandboxes/", id));
  const auto found =
      Ask(*client_->sandboxes, &pb::SandboxService::Stub::GetSandbox, request, "look at a sandbox");
  if (found.ok()) {
    if (IsOver(*found)) Tell(id, ToObservation(*found));
    return;
  }
  if (found.status().code() == StatusCode::kNotFound) {
    Tell(id, Vanished());
    return;
  }
  // Not known: the stream has to begin anew.
  const std::lock_guard lock(mutex_);
  if (stream_ != nullptr) stream_->TryCancel();
}

void ExitWatch::Run() {
  auto pause = kFirstPause;
  for (;;) {
    grpc::ClientContext context;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      stream_ = &context;
    }
    const auto began = std::chrono::steady_clock::now();
    ReadStream(context);
    std::unique_lock lock(mutex_);
    stream_ = nullptr;
    if (std::chrono::steady_clock::now() - began > kLongestPause) pause = kFirstPause;
    changed_.wait_for(lock, pause, [this] { return stopping_; });
    pause = std::min(2 * pause, kLongestPause);
  }
}

void ExitWatch::ReadStream(grpc::ClientContext& context) {
  std::set<std::string> before;  // that were waited for when the stream began
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, on_exit] : waiting_) before.insert(id);
  }
  const auto stream = client_->sandboxes->WatchSandboxes(&context, {});
  pb::SandboxChange change;
  bool synced = false;
  while (stream->Read(&change)) {
    const std::string id = IdOf(change.sandbox());
    if (change.synced() && !synced) {
      synced = true;
      for (const std::string& gone : before) Tell(gone, Vanished());
    } else if (change.deleted()) {
      Tell(id, Vanished());
    } else {
      before.erase(id);
      if (IsOver(change.sandbox())) Tell(id, ToObservation(change.sandbox()));
    }
  }
  stream->Finish();
}

}  // namespace claw::drivers
