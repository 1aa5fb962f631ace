#pragma once

// The contract between the agent and what runs sandboxes. One suite
// (tests/integration/driver/contract.h) checks it against every driver.
//
// Threads: every call may block and is made from a pool thread. Calls about one sandbox never
// overlap, save Stats, OpenLog, OpenInput, ResizeTerminal and Exec, which may come at any time
// while it runs. A driver outlives every object that it hands out.

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/base/unique_fd.h"
#include "agent/model/compat.h"
#include "agent/model/image.h"
#include "agent/model/sandbox.h"
#include "agent/model/syscalls.h"
#include "agent/model/tenant.h"

namespace claw::drivers {

// What a driver found out about its runtime on this machine, by really starting a sandbox.
struct Fingerprint {
  bool healthy = false;
  std::string message{};  // why not, and what to do; empty when healthy
  std::string runtime_path{};
  std::string runtime_version{};
  std::string platform{};  // gVisor's platform; empty elsewhere
  std::vector<std::string> capabilities{};
  // A starting guess of what one sandbox takes beyond its workload, in bytes.
  int64_t overhead_prior_bytes = 0;
  // What the supervisor of one sandbox takes outside of the sandbox's cgroup, as measured.
  int64_t supervisor_bytes = 0;

  bool operator==(const Fingerprint&) const = default;
};

// What the agent in a guest has to know of a sandbox, because it decides about it by itself: the
// host's records that the decision rests on.
struct GuestFacts {
  Tenant tenant{};
  Image image{};
  SandboxSpec spec{};  // what was asked for; what it comes to is in the LaunchSpec
  std::vector<CompatVerdict> verdicts{};
  std::optional<CompatOverride> compat_override{};
};

// Everything needed to create one sandbox, resolved: no defaults are left to the driver.
struct LaunchSpec {
  std::string id{};
  std::filesystem::path image_rootfs{};  // unpacked, shared by sandboxes, never written to
  std::vector<std::string> argv{};       // not empty
  std::vector<std::string> env{};
  std::string working_directory{};  // absolute
  int64_t uid = 0;                  // in the sandbox
  int64_t gid = 0;
  std::vector<int64_t> additional_gids{};
  std::string hostname{};
  std::vector<Mount> mounts{};
  // Files that the node made for the sandbox. World-readable; always read-only inside, where their
  // owner may not be known.
  std::vector<Mount> node_files{};
  // kBridge: an interface may be put into its network namespace between Create and Start, and its
  // program sees that. FAILED_PRECONDITION, reason NETWORK_UNSUPPORTED, where the runtime cannot.
  NetworkMode network = NetworkMode::kNone;
  Resources resources{};
  bool tty = false;
  bool stdin_open = false;
  bool read_only_root = false;
  // The runtime logs every system call, for ReadSyscalls. Slow. UNIMPLEMENTED where it cannot.
  bool trace_syscalls = false;
  // Calls that fail. UNIMPLEMENTED where that cannot be had, and for a call that is not known.
  std::vector<RefusedCall> refused_calls{};
  // Kept beside the sandbox for as long as it exists, so that a node that lost its store can
  // rebuild the record from what runs.
  std::string record_json{};
  // For drivers of guests: what the agent there needs to decide about it by itself.
  std::shared_ptr<const GuestFacts> guest{};
};

struct Created {
  DriverHandle handle{};
  ProcessIdentity process{};
  // What it is charged where it is, if somebody else than this agent says so: a guest has its own
  // ledger.
  std::optional<Memory> memory{};
};

// How a sandbox ended, as far as it is known.
struct ExitObservation {
  std::optional<int> exit_code{};  // absent: it is over, but nobody saw how
  bool oom_killed = false;
  int64_t memory_peak_bytes = 0;  // 0: not known
  Time exited_at{};
  // Why, if somebody else than this agent ended it; kNone: nobody did.
  EndReason reason = EndReason::kNone;
  std::string failure{};  // without an exit code: why nobody saw it, if that is known
};

enum class Presence {
  kRunning,  // the same process as recorded, proven by pid, start time and boot
  kExited,   // it ended; `exit` says how
  kGone,     // no trace that it ever ran, or only litter that Destroy removes
};

struct Inspection {
  Presence presence = Presence::kGone;
  std::optional<ExitObservation> exit{};
};

struct Stats {
  int64_t memory_usage_bytes = 0;
  // What of it is the tenant's, what is the tax of the runtime, and what the kernel could take back
  // at once. Together they are memory_usage_bytes.
  int64_t application_bytes = 0;
  int64_t overhead_bytes = 0;
  int64_t page_cache_bytes = 0;
  int64_t supervisor_bytes = 0;  // beside memory_usage_bytes: see Fingerprint
  int64_t memory_peak_bytes = 0;
  int64_t memory_limit_bytes = 0;
  int64_t cpu_usage_micros = 0;
  int64_t pids = 0;
  int64_t limit_hits = 0;  // how often it ran into its memory limit, which alone kills nothing
};

struct LogRecord {
  Time time{};
  bool is_stderr = false;
  std::string data{};  // ends in '\n' unless the program has not ended the line
};

// Reads a sandbox's output from the beginning. Owned and used by one caller at a time.
class LogReader {
 public:
  virtual ~LogReader() = default;
  // What has come since the last call, at most about 256 KiB; empty: nothing now.
  virtual StatusOr<std::vector<LogRecord>> Read() = 0;
  // Becomes readable when there may be more; drained by Read. -1: nothing more will ever come.
  virtual int change_fd() const = 0;
};

struct ExecSpec {
  std::vector<std::string> argv{};
  std::vector<std::string> env{};
  std::string working_directory{};  // empty: that of the sandbox's program
  bool tty = false;
  bool stdin_open = false;
};

// A further program in a running sandbox. Destroying it kills the program if it has not ended.
class ExecSession {
 public:
  virtual ~ExecSession() = default;
  // Descriptors stay owned by the session. With a terminal all three are its one end; stdin_fd is
  // -1 when it was not asked for or has been closed; they are non-blocking.
  virtual int stdin_fd() const = 0;
  virtual int stdout_fd() const = 0;
  virtual int stderr_fd() const = 0;  // -1 with a terminal
  virtual void CloseStdin() = 0;
  virtual Status Resize(int rows, int columns) = 0;
  // Readable once the program has ended; then Wait does not block.
  virtual int exit_fd() const = 0;
  virtual StatusOr<int> Wait() = 0;
};

class Driver {
 public:
  virtual ~Driver() = default;

  virtual std::string_view name() const = 0;
  virtual IsolationClass isolation() const = 0;

  // Looks at the machine again and remembers what it found. Nothing runs before the first Probe was
  // healthy.
  virtual Fingerprint Probe() = 0;

  // Whether the runtime is another one than Probe saw: replaced, installed or removed since. A few
  // system calls; from any thread, at any time.
  virtual bool RuntimeChanged() const = 0;

  // Makes everything but lets no instruction of the tenant's run; its network namespace is that of
  // `process`. On an error nothing is left
  // behind, or Destroy(id) removes the rest. FAILED_PRECONDITION, reason RUNTIME_MISSING: not
  // healthy. UNAVAILABLE, reason RUNTIME_CHANGED: what Probe found is not what would have run.
  virtual StatusOr<Created> Create(const LaunchSpec& spec) = 0;

  // Starts the program and proves that it runs as promised: runtime, limits, isolation. Answers
  // with the evidence. If the proof fails the sandbox is killed: FAILED_PRECONDITION, reason
  // PROOF_FAILED. A program that cannot be executed: INVALID_ARGUMENT, reason COMMAND_NOT_FOUND.
  virtual StatusOr<std::string> Start(const DriverHandle& handle) = 0;

  // Calls `on_exit` once, from any thread, when the sandbox has ended; at once if it has already.
  // Not called after Destroy.
  virtual Status Wait(const DriverHandle& handle, std::function<void(ExitObservation)> on_exit) = 0;

  // Sends a signal to the sandbox's program. Over already: OK.
  virtual Status Kill(const DriverHandle& handle, int signal) = 0;

  // Ends whatever still runs and removes every trace from the host but the log and the writable
  // layer. Idempotent; works from the id alone, also for what a crash left half-made. OK only if
  // nothing is left that holds memory.
  virtual Status Destroy(const std::string& id) = 0;

  // Removes the log, the writable layer and the sandbox's folder. After Destroy. Idempotent.
  virtual Status Purge(const std::string& id) = 0;

  virtual StatusOr<Inspection> Inspect(const DriverHandle& handle) = 0;
  virtual StatusOr<Stats> GetStats(const DriverHandle& handle) = 0;

  // Ids of everything of this agent's instance that has any trace on this host.
  virtual StatusOr<std::vector<std::string>> List() = 0;

  // The record kept beside a sandbox and the handle to it, for a node that lost its store.
  struct Recovered {
    std::string record_json{};
    DriverHandle handle{};
    ProcessIdentity process{};
  };
  virtual StatusOr<Recovered> Recover(const std::string& id) = 0;

  // What failed in a sandbox that was created with trace_syscalls, from its log: complete once it
  // has ended, there until Purge.
  virtual StatusOr<SyscallReport> ReadSyscalls(const std::string& id) = 0;
  // How much has been logged so far; 0 where nothing is.
  virtual int64_t SyscallLogBytes(const std::string& id) const = 0;

  virtual StatusOr<std::unique_ptr<LogReader>> OpenLog(const DriverHandle& handle) = 0;
  // A socket or pipe whose bytes go to the program's standard input; shut down for writing ends the
  // input.
  virtual StatusOr<UniqueFd> OpenInput(const DriverHandle& handle) = 0;
  virtual Status ResizeTerminal(const DriverHandle& handle, int rows, int columns) = 0;
  virtual StatusOr<std::unique_ptr<ExecSession>> Exec(const DriverHandle& handle,
                                                      const ExecSpec& spec) = 0;
};

}  // namespace claw::drivers
