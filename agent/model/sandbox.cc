#include "agent/model/sandbox.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "agent/base/strings.h"
#include "agent/model/enum_names.h"
#include "agent/model/validate.h"

namespace claw {
namespace {

constexpr EnumNames<SandboxState, 7> kStateNames = {{
    {SandboxState::kReserved, "RESERVED"},
    {SandboxState::kStarting, "STARTING"},
    {SandboxState::kRunning, "RUNNING"},
    {SandboxState::kStopping, "STOPPING"},
    {SandboxState::kExited, "EXITED"},
    {SandboxState::kFailed, "FAILED"},
    {SandboxState::kLost, "LOST"},
}};

constexpr EnumNames<EndReason, 8> kReasonNames = {{
    {EndReason::kNone, "NONE"},
    {EndReason::kExited, "EXITED"},
    {EndReason::kStopped, "STOPPED"},
    {EndReason::kOomKilled, "OOM_KILLED"},
    {EndReason::kProofFailed, "PROOF_FAILED"},
    {EndReason::kHostRestart, "HOST_RESTART"},
    {EndReason::kRevoked, "REVOKED"},
    {EndReason::kEvicted, "EVICTED"},
}};

Status ValidatePath(std::string_view field, std::string_view path) {
  RETURN_IF_ERROR(ValidateText(field, path, 4095));
  if (!path.starts_with("/")) return BadValue(field, "is not an absolute path");
  for (std::string_view part : Split(path, '/')) {
    if (part == "..") return BadValue(field, "contains '..'");
  }
  return absl::OkStatus();
}

Status ValidateStrings(std::string_view field, const std::vector<std::string>& strings,
                       size_t max_count, size_t max_bytes) {
  if (strings.size() > max_count) {
    return BadValue(field, StrCat("has more than ", max_count, " entries"));
  }
  size_t total = 0;
  for (const std::string& text : strings) {
    RETURN_IF_ERROR(ValidateText(field, text, max_bytes));
    total += text.size() + 1;
  }
  if (total > max_bytes) {
    return BadValue(field, StrCat("is longer than ", max_bytes, " bytes in all"));
  }
  return absl::OkStatus();
}

// The kernel gives a program at most 128 KiB for one string and some 2 MiB in all; runtimes choke
// earlier.
constexpr size_t kMaxArgumentBytes = 128 * 1024;

Status ValidateProgram(const SandboxSpec& spec) {
  RETURN_IF_ERROR(ValidateStrings("command", spec.command, 1024, kMaxArgumentBytes));
  RETURN_IF_ERROR(ValidateStrings("args", spec.args, 1024, kMaxArgumentBytes));
  RETURN_IF_ERROR(ValidateStrings("env", spec.env, 1024, kMaxArgumentBytes));
  if (!spec.command.empty() && spec.command[0].empty())
    return BadValue("command", "starts with ''");
  for (const std::string& entry : spec.env) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) {
      // Not quoted: it may be a secret.
      return BadValue("env", "has an entry that is not NAME=value");
    }
  }
  if (!spec.working_directory.empty()) {
    RETURN_IF_ERROR(ValidatePath("working_directory", spec.working_directory));
  }
  return absl::OkStatus();
}

// Where a mount would replace what the runtimes put there themselves, or our own starter.
bool IsReservedDestination(std::string_view path) {
  for (std::string_view root : {"/proc", "/sys", "/dev", "/.clawlet"}) {
    if (path == root || (path.starts_with(root) && path[root.size()] == '/')) return true;
  }
  return false;
}

Status ValidateMounts(const std::vector<Mount>& mounts) {
  if (mounts.size() > 64) return BadValue("mounts", "has more than 64 entries");
  std::set<std::string> destinations;
  for (const Mount& mount : mounts) {
    RETURN_IF_ERROR(ValidatePath("mounts.source", mount.source));
    RETURN_IF_ERROR(ValidatePath("mounts.destination", mount.destination));
    std::string destination = "/";
    for (std::string_view part : Split(mount.destination, '/', true)) {
      if (part == ".") continue;
      destination += StrCat(destination == "/" ? "" : "/", part);
    }
    if (destination == "/") return BadValue("mounts.destination", "is the root itself");
    if (IsReservedDestination(destination)) {
      return BadValue("mounts.destination", StrCat("'", destination, "' belongs to the runtime"));
    }
    if (!destinations.insert(destination).second) {
      return BadValue("mounts.destination", StrCat("'", destination, "' is there twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string VmOf(const Sandbox& sandbox) {
  const std::string_view prefix = kVmTargets;
  if (!sandbox.target.starts_with(prefix)) return "";
  return sandbox.target.substr(prefix.size());
}

std::string_view ToString(SandboxState state) { return NameOf(kStateNames, state); }
std::string_view ToString(EndReason reason) { return NameOf(kReasonNames, reason); }
StatusOr<SandboxState> ParseSandboxState(std::string_view text) {
  return ValueOf(kStateNames, "sandbox state", text);
}
StatusOr<EndReason> ParseEndReason(std::string_view text) {
  return ValueOf(kReasonNames, "reason of an end", text);
}

bool IsTerminal(SandboxState state) {
  return state == SandboxState::kExited || state == SandboxState::kFailed ||
         state == SandboxState::kLost;
}

bool IsRunning(SandboxState state) {
  return state == SandboxState::kRunning || state == SandboxState::kStopping;
}

Status Transition(Sandbox& sandbox, SandboxState to) {
  using S = SandboxState;
  static constexpr std::array<std::pair<S, S>, 14> kMoves = {{
      {S::kReserved, S::kStarting},
      {S::kReserved, S::kFailed},
      {S::kStarting, S::kRunning},
      {S::kStarting, S::kFailed},
      {S::kStarting, S::kStopping},
      {S::kStarting, S::kExited},
      {S::kRunning, S::kStopping},
      {S::kRunning, S::kExited},
      {S::kRunning, S::kLost},
      {S::kStopping, S::kExited},
      {S::kStopping, S::kFailed},
      {S::kStopping, S::kLost},
      // A program that was thought lost and whose exit turns up after all.
      {S::kLost, S::kExited},
      {S::kStarting, S::kLost},
  }};
  if (sandbox.state == to) return absl::OkStatus();
  const bool legal =
      std::find(kMoves.begin(), kMoves.end(), std::pair(sandbox.state, to)) != kMoves.end();
  if (!legal) {
    return FailedPrecondition("sandbox ", sandbox.id, " cannot go from ", ToString(sandbox.state),
                              " to ", ToString(to));
  }
  sandbox.state = to;
  return absl::OkStatus();
}

namespace {

constexpr size_t kMaxWishes = 64;

Status ValidatePlace(const SandboxSpec& spec) {
  RETURN_IF_ERROR(ValidateLabels(spec.node_selector, "node_selector"));
  if (spec.tolerations.size() > kMaxWishes) return BadValue("tolerations", "has more than 64");
  for (const std::string& toleration : spec.tolerations) {
    if (toleration.empty() || toleration[0] == '=') {
      return BadValue("tolerations", "has one without a key");
    }
    RETURN_IF_ERROR(ValidateText("tolerations", toleration, 253));
  }
  if (spec.avoid_tenants.size() > kMaxWishes) return BadValue("avoid_tenants", "has more than 64");
  for (const std::string& tenant : spec.avoid_tenants) {
    RETURN_IF_ERROR(ValidateName("avoid_tenants", tenant));
    if (tenant == spec.tenant) return BadValue("avoid_tenants", "has the sandbox's own tenant");
  }
  return absl::OkStatus();
}

}  // namespace

Status ValidateSpec(const SandboxSpec& spec) {
  RETURN_IF_ERROR(ValidateName("tenant", spec.tenant));
  if (!spec.display_name.empty()) {
    RETURN_IF_ERROR(ValidateName("display_name", spec.display_name));
  }
  if (spec.image.empty()) return BadValue("image", "is missing");
  RETURN_IF_ERROR(ValidateText("image", spec.image, 512));
  RETURN_IF_ERROR(ValidateProgram(spec));
  RETURN_IF_ERROR(ValidateMounts(spec.mounts));
  RETURN_IF_ERROR(ValidateRange("workload_bytes", spec.workload_bytes, kMinWorkloadBytes,
                                kMaxWorkloadBytes, " bytes"));
  if (spec.request_bytes != 0) {
    RETURN_IF_ERROR(ValidateRange("memory_request_bytes", spec.request_bytes, kMinWorkloadBytes,
                                  spec.workload_bytes, " bytes"));
  }
  RETURN_IF_ERROR(ValidateRange("priority", spec.priority, kMinPriority, kMaxPriority, ""));
  RETURN_IF_ERROR(ValidateRange("cpu_millis", spec.cpu_millis, 0, kMaxCpuMillis, " millis"));
  // The kernel's CFS quota is at least 1 ms of a period of 100 ms.
  if (spec.cpu_millis != 0 && spec.cpu_millis < 10) {
    return ValidateRange("cpu_millis", spec.cpu_millis, 10, kMaxCpuMillis, " millis");
  }
  RETURN_IF_ERROR(ValidateRange("pids_max", spec.pids_max, 1, kMaxPidsMax, ""));
  RETURN_IF_ERROR(ValidateLabels(spec.labels));
  RETURN_IF_ERROR(ValidateNetworkSpec(spec.network));
  return ValidatePlace(spec);
}

}  // namespace claw
