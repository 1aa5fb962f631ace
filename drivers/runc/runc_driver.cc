#include "drivers/runc/runc_driver.h"

#include <unistd.h>

#include <csignal>
#include <thread>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "agent/host/process.h"

namespace claw::drivers {
namespace {

// What a container of this class costs beyond its workload: 0.4 to 2.3 MiB of kernel memory and
// 0.09 MiB a process, measured with runc 1.1.5; rounded up.
constexpr int64_t kOverheadPriorBytes = 8 * kMiB;

// Ranges of 65536 ids from 2^20 up: above the usual subuid ranges, below the sign bit of a 32-bit
// uid.
constexpr uint32_t kFirstIdBase = 1u << 20;
constexpr uint32_t kIdRanges = 32000;

// A range for a sandbox, from its random id: two sandboxes hardly ever share one, and where they do
// they are no worse off than containers that all share one.
uint32_t IdBaseOf(const std::string& id) {
  uint32_t hash = 0;
  for (const char c : id.substr(0, 8)) {
    hash = hash << 4 | static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return kFirstIdBase + hash % kIdRanges * kIdRange;
}

Status CheckNamespaces(pid_t pid) {
  for (const char* kind : {"user", "pid", "mnt", "net", "ipc", "uts"}) {
    ASSIGN_OR_RETURN(const ino_t theirs, host::NamespaceId(pid, kind));
    ASSIGN_OR_RETURN(const ino_t ours, host::NamespaceId(::getpid(), kind));
    if (theirs == ours) return Internal("the container shares the host's ", kind, " namespace");
  }
  return absl::OkStatus();
}

}  // namespace

BundleOptions RuncDriver::PlanBundle(const LaunchSpec& spec, Instance& instance) const {
  instance.id_base = IdBaseOf(spec.id);
  BundleOptions options;
  options.seccomp = true;
  options.cgroup_namespace = true;
  options.id_base = instance.id_base;
  options.mounts_are_staged = true;
  return options;
}

std::vector<std::string> RuncDriver::GlobalFlags() const {
  return {StrCat("--root=", RuntimeRoot().string())};
}

Status RuncDriver::ProbeRuntime(Fingerprint& fingerprint) {
  ProcessSpec command;
  command.argv = {runtime_path_, "--version"};
  ASSIGN_OR_RETURN(const std::string text, RunOrError(std::move(command)));
  const std::string_view line = Split(text, '\n').front();
  fingerprint.runtime_version = line.substr(line.find_last_of(' ') + 1);
  fingerprint.overhead_prior_bytes = kOverheadPriorBytes;
  fingerprint.capabilities = {"exec", "stats", "oom", "user-namespace", "seccomp"};
  return absl::OkStatus();
}

StatusOr<std::string> RuncDriver::ProveCreated(const Instance& instance) {
  const auto pid = static_cast<pid_t>(instance.process.pid);
  RETURN_IF_ERROR(CheckNamespaces(pid));
  ASSIGN_OR_RETURN(const std::string map, ReadFile(StrCat("/proc/", pid, "/uid_map")));
  const std::vector<std::string_view> words = Split(Trim(map), ' ', true);
  if (words.size() != 3 || words[0] != "0" || words[1] != StrCat(instance.id_base) ||
      words[2] != StrCat(kIdRange)) {
    return Internal("the user namespace maps '", Trim(map), "'");
  }
  return StrCat("runc container in a user namespace at ", instance.id_base);
}

StatusOr<std::string> RuncDriver::ProveRunning(const Instance& instance) {
  const auto pid = static_cast<pid_t>(instance.process.pid);
  // runc installs the filter as the last thing before it executes the program, a moment after
  // `start` has returned; there is no event for it. A program that has ended by now was under it
  // too, but cannot be asked.
  for (int attempt = 0; attempt < 2000; ++attempt) {
    const StatusOr<std::string> seccomp = host::StatusField(pid, "Seccomp");
    if (!seccomp.ok() || HasEnded(instance)) {
      return std::string("ended before its seccomp filter could be read");
    }
    if (*seccomp == "2") {
      ASSIGN_OR_RETURN(const std::string no_new_privs, host::StatusField(pid, "NoNewPrivs"));
      if (no_new_privs != "1") return Internal("the program may gain privileges");
      return std::string("seccomp filter and no_new_privs in force");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  return Internal("the program runs without a seccomp filter");
}

Status RuncDriver::SignalProgram(const Instance& instance, int signal) {
  StatusOr<UniqueFd> pidfd = host::OpenProcess(instance.process, host_.boot_id);
  if (!pidfd.ok()) return absl::OkStatus();
  return Process(static_cast<pid_t>(instance.process.pid), *std::move(pidfd)).Signal(signal);
}

void RuncDriver::EndExec(const Instance& instance, pid_t pid) {
  // The pid is the host's; only what sits in the sandbox's cgroup may be killed.
  if (cgroups_.CheckMember(CgroupOf(instance.id), pid).ok()) ::kill(pid, SIGKILL);
}

Status RuncDriver::DeleteRuntimeState(const std::string& id) {
  std::error_code error;
  if (!std::filesystem::exists(RuntimeRoot() / id, error)) return absl::OkStatus();
  const Status deleted = RunRuntime({"delete", "--force", id}).status();
  if (!std::filesystem::exists(RuntimeRoot() / id, error)) return absl::OkStatus();
  // A state that runc itself cannot read (it was killed while writing it).
  const Status removed = RemoveTree(RuntimeRoot() / id);
  return removed.ok() ? absl::OkStatus() : deleted;
}

std::vector<std::string> RuncDriver::RuntimeIds() const {
  return ListDirectory(RuntimeRoot()).value_or(std::vector<std::string>());
}

}  // namespace claw::drivers
