#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/model/isolation.h"
#include "agent/model/network.h"
#include "agent/model/resources.h"
#include "agent/model/tenant.h"

namespace claw {

enum class SandboxState {
  kReserved,  // admitted: its memory is charged, nothing of it exists yet
  kStarting,  // the driver is at work
  kRunning,   // proven to run in the promised runtime
  kStopping,  // asked to end
  kExited,    // the program has ended; see ExitInfo
  kFailed,    // never ran: see `failure`
  kLost,      // was running when last seen; how it ended is not known
};

// Why a sandbox that ran is over.
enum class EndReason {
  kNone,
  kExited,       // the program ended by itself, or by a signal of its own making
  kStopped,      // an administrator or the controller stopped it
  kOomKilled,    // the kernel stopped it at its memory limit
  kProofFailed,  // what ran was not what was promised, so it was killed
  kHostRestart,  // the machine went down under it
  kRevoked,  // the policy no longer allows its class: its tenant lost its trust, or the node its
             // class
  kEvicted,  // the node was short of memory, and it used more than was set aside for it
};

struct Mount {
  std::string source{};       // absolute path on the host
  std::string destination{};  // absolute path in the sandbox
  bool read_only = true;

  bool operator==(const Mount&) const = default;
};

// What the caller asked for, after defaults.
struct SandboxSpec {
  std::string tenant{};                // its name
  std::string display_name{};          // empty, or unique among this node's sandboxes
  std::string image{};                 // as the caller wrote it: a reference, a name or a digest
  std::vector<std::string> command{};  // empty: the image's entry point and command
  std::vector<std::string> args{};     // appended to the entry point; replaces the image's command
  std::vector<std::string> env{};      // "NAME=value"; wins over the image's
  std::string working_directory{};     // empty: the image's
  std::vector<Mount> mounts{};
  int64_t workload_bytes = kDefaultWorkloadBytes;
  // Of a burstable sandbox: what is set aside for it alone. 0, or all of the workload: guaranteed.
  int64_t request_bytes = 0;
  int64_t priority = 0;  // who has a lower one is evicted earlier
  int64_t cpu_millis = 0;
  int64_t pids_max = kDefaultPidsMax;
  bool tty = false;
  bool stdin_open = false;
  bool read_only_root = false;
  bool auto_remove = false;  // remove the record, too, when the sandbox has ended
  std::map<std::string, std::string> labels{};
  // A class that the caller insists on; absent: what the policy says. Only kGvisor can be stronger.
  std::optional<IsolationClass> isolation{};
  // Where it may run. The target has all of these labels …
  std::map<std::string, std::string> node_selector{};
  // … and no taint but these: "key" for whatever value, or "key=value" …
  std::vector<std::string> tolerations{};
  // … and no sandbox of these tenants; while it is there, they do not come …
  std::vector<std::string> avoid_tenants{};
  // … and, if this is set, nothing of any other tenant, now or later.
  bool exclusive = false;
  NetworkSpec network{};

  bool operator==(const SandboxSpec&) const = default;
};

struct ExitInfo {
  int exit_code = 0;  // the program's; 128 + n for signal n
  EndReason reason = EndReason::kNone;
  int64_t memory_peak_bytes = 0;  // highest cgroup usage, overhead included; 0: not known
  Time exited_at{};

  bool operator==(const ExitInfo&) const = default;
};

// Which process is ours. A pid alone can be reused; with its start time and the boot it cannot.
struct ProcessIdentity {
  int64_t pid = 0;
  uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat
  std::string boot_id{};     // /proc/sys/kernel/random/boot_id

  bool operator==(const ProcessIdentity&) const = default;
};

// What a driver needs to find its sandbox again. Opaque above the drivers, versioned by them.
struct DriverHandle {
  std::string driver{};  // "runc", "gvisor"
  int version = 0;
  std::string data{};  // JSON of the driver's own

  bool operator==(const DriverHandle&) const = default;
};

// A place that is held for a sandbox until somebody commits it.
struct Lease {
  Time expires_at{};
  std::chrono::milliseconds ttl{};  // as it was asked for
  std::string held_by{};            // identity of the caller

  bool operator==(const Lease&) const = default;
};

constexpr std::chrono::milliseconds kMinLease = std::chrono::seconds(1);
constexpr std::chrono::milliseconds kMaxLease = std::chrono::hours(1);
constexpr std::chrono::milliseconds kDefaultLease = std::chrono::minutes(1);

constexpr char kHostTarget[] = "host";
constexpr char kVmTargets[] = "vms/";  // and its name

// One sandbox as it is recorded. Value type.
struct Sandbox {
  std::string id{};  // kSandboxIdLength hexadecimal digits
  SandboxSpec spec{};
  SandboxState state = SandboxState::kReserved;
  int64_t revision = 0;             // of the last event about it
  std::string target{kHostTarget};  // where it is: "host", or "vms/NAME"
  IsolationClass isolation = IsolationClass::kGvisor;
  DecisionRecord decision{};  // how the class was found
  std::string driver{};
  std::string runtime_version{};  // of the runtime that it was started with
  std::string platform{};         // gVisor's; empty elsewhere
  std::string image_digest{};
  Resources resources{};
  DriverHandle handle{};
  NetworkMode network_mode = NetworkMode::kNone;  // as it was decided
  std::optional<NetworkAttachment> network{};     // once it is connected
  ProcessIdentity process{};                      // the sandbox's first process on the host
  std::string runtime_proof{};                    // what was seen after the start, in a sentence
  std::optional<ExitInfo> exit{};
  std::string failure{};  // why it is kFailed or kLost
  // False as long as anything of it may be left on the host. Until then its memory stays charged.
  bool released = false;
  std::optional<Lease> lease{};  // it is a reservation: kReserved until it is committed
  std::string request_id{};      // of the call that made it, or committed it
  // In a guest: what its host keeps beside it, for the day on which that has lost its store.
  std::string host_record{};
  Time created_at{};
  Time started_at{};

  bool operator==(const Sandbox&) const = default;
};

// The name of the VM that it is in; empty: it is on the host itself.
std::string VmOf(const Sandbox& sandbox);

// Fixed, because runsc takes any prefix of an id for the id.
constexpr size_t kSandboxIdLength = 16;

std::string_view ToString(SandboxState state);
std::string_view ToString(EndReason reason);
StatusOr<SandboxState> ParseSandboxState(std::string_view text);
StatusOr<EndReason> ParseEndReason(std::string_view text);

bool IsTerminal(SandboxState state);
// Its program has been started and is not known to have ended: running or stopping.
bool IsRunning(SandboxState state);

// The one table of legal moves. FAILED_PRECONDITION for any other; staying put is legal.
Status Transition(Sandbox& sandbox, SandboxState to);

// Checks everything about a request that can be checked without looking at the node: names, sizes,
// absolute paths without "..", environment names, UTF-8. INVALID_ARGUMENT with the field as the
// constraint.
Status ValidateSpec(const SandboxSpec& spec);

}  // namespace claw
