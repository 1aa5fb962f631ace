#include "drivers/fake/fake_box.h"

#include <unistd.h>

#include <array>
#include <csignal>

#include "drivers/fake/fake_io.h"

namespace claw::drivers {

class FakeLogReader final : public LogReader {
 public:
  FakeLogReader(std::shared_ptr<FakeBox> box, UniqueFd change, std::shared_ptr<UniqueFd> bell)
      : box_(std::move(box)), change_(std::move(change)), bell_(std::move(bell)) {}

  StatusOr<std::vector<LogRecord>> Read() override {
    std::array<char, 64> rings;
    while (::read(change_.get(), rings.data(), rings.size()) > 0) {
    }
    const std::lock_guard lock(box_->mutex_);
    const auto first = box_->log_.begin() + static_cast<ptrdiff_t>(next_);
    std::vector<LogRecord> records(first, box_->log_.end());
    next_ = box_->log_.size();
    return records;
  }

  int change_fd() const override { return change_.get(); }

 private:
  std::shared_ptr<FakeBox> box_;
  UniqueFd change_;
  std::shared_ptr<UniqueFd> bell_;  // the box rings it for as long as it is here
  size_t next_ = 0;
};

FakeBox::FakeBox(LaunchSpec spec, DriverHandle handle, ProcessIdentity identity,
                 std::shared_ptr<const Clock> clock)
    : spec_(std::move(spec)),
      handle_(std::move(handle)),
      identity_(std::move(identity)),
      clock_(std::move(clock)) {
  stats_.memory_usage_bytes = kMiB;
  stats_.memory_peak_bytes = kMiB;
  stats_.memory_limit_bytes = spec_.resources.memory.cgroup_max_bytes;
  stats_.pids = 1;
}

StatusOr<std::string> FakeBox::Start(const Program& program, std::string_view promised) {
  const std::weak_ptr<FakeBox> self = weak_from_this();
  auto process = std::make_shared<FakeProcess>(
      FakeProcess::Start{.argv = spec_.argv,
                         .env = spec_.env,
                         .tty = spec_.tty,
                         .driver = handle_.driver,
                         .refused_calls = spec_.refused_calls},
      FakeProcess::Sinks{.write =
                             [self](bool is_stderr, std::string_view text) {
                               if (const auto box = self.lock()) box->Print(is_stderr, text);
                             },
                         .ended =
                             [self](std::optional<int> code) {
                               if (const auto box = self.lock()) box->OnEnded(code);
                             }});
  {
    const std::lock_guard lock(mutex_);
    if (ended_ || destroyed_) return FailedPrecondition("sandbox ", spec_.id, " is over");
    if (process_) return FailedPrecondition("sandbox ", spec_.id, " runs already");
    process_ = process;
  }
  if (const Status started = program(process); !started.ok()) {
    process->End(127);
    return started;
  }
  return StrCat("a fake program, promised as ", promised);
}

void FakeBox::Print(bool is_stderr, std::string_view text) {
  const std::lock_guard lock(mutex_);
  while (!text.empty()) {
    const size_t length = std::min(text.find('\n'), text.size() - 1) + 1;
    log_.push_back({.time = clock_->Now(),
                    .is_stderr = is_stderr,
                    .data = std::string(text.substr(0, length))});
    text.remove_prefix(length);
  }
  RingLocked();
}

void FakeBox::RingLocked() {
  std::vector<std::weak_ptr<UniqueFd>> kept;
  for (const auto& weak : bells_) {
    const auto bell = weak.lock();
    if (!bell) continue;
    kept.push_back(weak);
    // Full: it rings already.
    [[maybe_unused]] const ssize_t ignored = ::write(bell->get(), "", 1);
  }
  bells_.swap(kept);
}

void FakeBox::Signal(int signal) {
  std::shared_ptr<FakeProcess> process;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    signals_.push_back(signal);
    process = process_;
  }
  if (process) {
    process->Signal(signal);
  } else {
    OnEnded(128 + signal);  // created, but not started
  }
}

void FakeBox::End(std::optional<int> code, bool oom_killed, int64_t memory_peak_bytes) {
  std::shared_ptr<FakeProcess> process;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    exit_.oom_killed = oom_killed;
    if (memory_peak_bytes > 0) stats_.memory_peak_bytes = memory_peak_bytes;
    process = process_;
  }
  if (process) {
    process->End(code);
  } else {
    OnEnded(code);
  }
}

void FakeBox::OnEnded(std::optional<int> code) {
  std::vector<Waiter> waiters;
  std::vector<std::weak_ptr<FakeProcess>> execs;
  std::shared_ptr<FakeProcess> process;  // may be the last reference: released without the lock
  ExitObservation seen;
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
    exit_.exit_code = code;
    exit_.memory_peak_bytes = stats_.memory_peak_bytes;
    exit_.exited_at = clock_->Now();
    seen = exit_;
    process.swap(process_);
    waiters.swap(waiters_);
    execs.swap(execs_);
    RingLocked();
  }
  for (const auto& weak : execs) {
    if (const auto exec = weak.lock()) exec->End(128 + SIGKILL);
  }
  for (const Waiter& waiter : waiters) {
    if (const auto alive = waiter.alive.lock()) waiter.on_exit(seen);
  }
}

void FakeBox::Destroy() {
  {
    const std::lock_guard lock(mutex_);
    destroyed_ = true;
    waiters_.clear();
  }
  End(std::nullopt, false, 0);
}

void FakeBox::Wait(std::weak_ptr<void> alive, std::function<void(ExitObservation)> on_exit) {
  ExitObservation seen;
  {
    const std::lock_guard lock(mutex_);
    if (!ended_) {
      waiters_.push_back({std::move(alive), std::move(on_exit)});
      return;
    }
    seen = exit_;
  }
  on_exit(seen);
}

Inspection FakeBox::Inspect() const {
  const std::lock_guard lock(mutex_);
  if (!ended_) return {.presence = Presence::kRunning, .exit = std::nullopt};
  return {.presence = exit_.exit_code ? Presence::kExited : Presence::kGone, .exit = exit_};
}

StatusOr<Stats> FakeBox::GetStats() const {
  const std::lock_guard lock(mutex_);
  if (destroyed_) return NotFound("sandbox ", spec_.id, " has no cgroup");
  Stats stats = stats_;
  if (ended_) stats.memory_usage_bytes = stats.pids = 0;
  stats.application_bytes = stats.memory_usage_bytes / 2;
  stats.overhead_bytes = stats.memory_usage_bytes - stats.application_bytes;
  return stats;
}

void FakeBox::HitLimit() {
  const std::lock_guard lock(mutex_);
  ++stats_.limit_hits;
}

void FakeBox::SetMemoryUsage(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  stats_.memory_usage_bytes = bytes;
  stats_.memory_peak_bytes = std::max(stats_.memory_peak_bytes, bytes);
}

std::unique_ptr<LogReader> FakeBox::OpenLog() {
  auto [change, ring] = MakeBell();
  auto bell = std::make_shared<UniqueFd>(std::move(ring));
  {
    const std::lock_guard lock(mutex_);
    bells_.push_back(bell);
  }
  return std::make_unique<FakeLogReader>(shared_from_this(), std::move(change), std::move(bell));
}

void FakeBox::Input(std::string_view data) {
  std::shared_ptr<FakeProcess> process;
  {
    const std::lock_guard lock(mutex_);
    process = process_;
  }
  if (process) process->Input(data);
}

bool FakeBox::running() const {
  const std::lock_guard lock(mutex_);
  return process_ != nullptr;
}

Status FakeBox::Adopt(const std::shared_ptr<FakeProcess>& exec) {
  const std::lock_guard lock(mutex_);
  if (!process_) return FailedPrecondition("sandbox ", spec_.id, " does not run");
  execs_.push_back(exec);
  return absl::OkStatus();
}

Status FakeBox::Resize(int rows, int columns) {
  const std::lock_guard lock(mutex_);
  if (!spec_.tty || !process_) return FailedPrecondition("sandbox ", spec_.id, " has no terminal");
  terminal_size_ = {rows, columns};
  return absl::OkStatus();
}

std::vector<int> FakeBox::signals() const {
  const std::lock_guard lock(mutex_);
  return signals_;
}

std::pair<int, int> FakeBox::terminal_size() const {
  const std::lock_guard lock(mutex_);
  return terminal_size_;
}

}  // namespace claw::drivers
