#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "drivers/driver.h"
#include "drivers/fake/fake_process.h"

namespace claw::drivers {

// One sandbox of a FakeWorld. Thread-safe; calls back without its lock held.
class FakeBox : public std::enable_shared_from_this<FakeBox> {
 public:
  FakeBox(LaunchSpec spec, DriverHandle handle, ProcessIdentity identity,
          std::shared_ptr<const Clock> clock);

  const LaunchSpec& spec() const { return spec_; }
  const DriverHandle& handle() const { return handle_; }
  const ProcessIdentity& identity() const { return identity_; }
  // Only litter: a folder or a cgroup without a record, as a crash in Create leaves it.
  bool litter() const { return spec_.argv.empty(); }

  // Runs the program in this sandbox. The evidence, or what the program answered.
  StatusOr<std::string> Start(const Program& program, std::string_view promised);
  void Signal(int signal);
  // Ends it, and whatever Exec started in it. An absent code: nobody saw how.
  void End(std::optional<int> code, bool oom_killed, int64_t memory_peak_bytes);
  // Ends it and forgets who waits for it.
  void Destroy();

  // `alive` expires with the driver whose caller waits: then nobody is told.
  void Wait(std::weak_ptr<void> alive, std::function<void(ExitObservation)> on_exit);
  Inspection Inspect() const;
  StatusOr<Stats> GetStats() const;
  void SetMemoryUsage(int64_t bytes);
  void HitLimit();

  std::unique_ptr<LogReader> OpenLog();
  void Input(std::string_view data);
  bool running() const;
  // Another program in it, to end with it. FAILED_PRECONDITION if it does not run.
  Status Adopt(const std::shared_ptr<FakeProcess>& exec);

  Status Resize(int rows, int columns);
  std::vector<int> signals() const;
  std::pair<int, int> terminal_size() const;

 private:
  friend class FakeLogReader;

  struct Waiter {
    std::weak_ptr<void> alive;
    std::function<void(ExitObservation)> on_exit;
  };

  void Print(bool is_stderr, std::string_view text);
  void OnEnded(std::optional<int> code);
  void RingLocked();

  const LaunchSpec spec_;
  const DriverHandle handle_;
  const ProcessIdentity identity_;
  const std::shared_ptr<const Clock> clock_;

  mutable std::mutex mutex_;
  std::shared_ptr<FakeProcess> process_;  // until it has ended
  std::vector<std::weak_ptr<FakeProcess>> execs_;
  bool ended_ = false;
  bool destroyed_ = false;
  ExitObservation exit_;
  std::vector<Waiter> waiters_;
  std::vector<LogRecord> log_;
  std::vector<std::weak_ptr<UniqueFd>> bells_;
  Stats stats_;
  std::vector<int> signals_;
  std::pair<int, int> terminal_size_{0, 0};
};

}  // namespace claw::drivers
