#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "drivers/driver.h"
#include "drivers/fake/fake_box.h"
#include "drivers/fake/fake_io.h"
#include "drivers/fake/fake_process.h"

namespace claw::drivers {

// The calls of a driver that a script can get in the way of.
enum class Step {
  kProbe,
  kCreate,
  kStart,
  kKill,
  kDestroy,
  kPurge,
  kInspect,
  kStats,
  kExec,
  kReadSyscalls,
};
std::string_view ToString(Step step);  // "probe", "create", …

// Where a FakeWorld's next call of some step waits. Letting go of it lets the call go on.
class FakeGate {
 public:
  FakeGate() = default;
  ~FakeGate() { Release(); }
  FakeGate(const FakeGate&) = delete;
  FakeGate& operator=(const FakeGate&) = delete;

  // Until a call stands at the gate; false if none came in time.
  bool AwaitArrival(std::chrono::milliseconds timeout = std::chrono::seconds(20));
  void Release();

 private:
  friend class FakeWorld;
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool arrived = false;
    bool open = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// The machine below fake drivers: what runs on it, and what goes wrong on it. It outlives the
// drivers, so that an agent's restart can be played: make a new FakeDriver on the same world.
// Thread-safe; hooks, programs and exit callbacks are called without a lock held.
class FakeWorld {
 public:
  static constexpr int kAlways = -1;
  enum class When { kBefore, kAfter };  // kAfter: it was done, and the answer is an error

  explicit FakeWorld(std::shared_ptr<const Clock> clock = std::make_shared<SystemClock>());
  ~FakeWorld();
  FakeWorld(const FakeWorld&) = delete;
  FakeWorld& operator=(const FakeWorld&) = delete;

  // What runs from now on. At first: a program that goes on until a signal ends it.
  void SetProgram(Program program);

  // What ReadSyscalls answers about what was created with such a spec, and how long the log is. At
  // first: nothing failed.
  void SetSyscalls(std::function<SyscallReport(const LaunchSpec&)> report);
  void SetSyscallLogBytes(int64_t bytes);

  // The version of every runtime, as the next probe finds it. At first: "1.0".
  void SetRuntimeVersion(std::string version);

  // The next `times` calls of a step answer with this error.
  void Fail(Step step, Status error, int times = 1, When when = When::kBefore);
  // Takes back what Fail said about a step.
  void Heal(Step step);
  // The next call of a step waits at the gate before it does anything.
  std::unique_ptr<FakeGate> Block(Step step);
  // Called before each call of a step, with the sandbox's id, on the caller's thread.
  void OnStep(Step step, std::function<void(const std::string& id)> hook);
  // "STEP ID" of every call so far, in order.
  std::vector<std::string> calls() const;

  // A sandbox's program ends. NOT_FOUND if there is none with this id.
  Status Exit(const std::string& id, int code, bool oom_killed = false,
              int64_t memory_peak_bytes = 0);
  // It ends, and nobody saw how.
  Status Vanish(const std::string& id);
  // So does everything.
  void Reboot();
  // Something in a driver's name without a record, as a crash leaves it.
  void AddLitter(const std::string& driver, const std::string& id);
  Status SetMemoryUsage(const std::string& id, int64_t bytes);
  // It runs into its memory limit once.
  Status HitLimit(const std::string& id);

  // Ids of what has any trace, sorted, and of what of it has a running program.
  std::vector<std::string> ids() const;
  std::vector<std::string> running() const;
  // As it was given to Create; the signals that Kill sent; what ResizeTerminal said: NOT_FOUND.
  StatusOr<LaunchSpec> spec(const std::string& id) const;
  StatusOr<std::vector<int>> signals(const std::string& id) const;
  StatusOr<std::pair<int, int>> terminal_size(const std::string& id) const;

 private:
  friend class FakeDriver;

  struct Fault {
    Status error;
    int times = 0;
    When when = When::kBefore;
  };

  // What scripts say at a step's beginning and its end.
  Status Enter(Step step, const std::string& id);
  Status Leave(Step step);
  Status TakeFault(Step step, When when);

  std::shared_ptr<FakeBox> Find(const std::string& id) const;
  StatusOr<std::shared_ptr<FakeBox>> FindOrError(const std::string& id) const;
  StatusOr<std::shared_ptr<FakeBox>> Add(const std::string& driver, const LaunchSpec& spec);
  void Remove(const std::string& id);
  Program program() const;
  SyscallReport syscalls(const LaunchSpec& spec) const;
  int64_t syscall_log_bytes() const;
  std::string runtime_version() const;

  const std::shared_ptr<const Clock> clock_;
  const std::shared_ptr<FakeIo> io_ = std::make_shared<FakeIo>();
  mutable std::mutex mutex_;
  Program program_;
  std::function<SyscallReport(const LaunchSpec&)> syscalls_;
  int64_t syscall_log_bytes_ = 0;
  std::string runtime_version_ = "1.0";
  std::map<std::string, std::shared_ptr<FakeBox>> boxes_;
  int64_t next_pid_ = 1000;
  int boots_ = 1;
  std::map<Step, std::vector<Fault>> faults_;
  std::map<Step, std::vector<std::shared_ptr<FakeGate::State>>> gates_;
  std::map<Step, std::function<void(const std::string&)>> hooks_;
  std::vector<std::string> calls_;
};

}  // namespace claw::drivers
