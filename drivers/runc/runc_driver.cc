#include "drivers/runc/runc_driver.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
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

constexpr auto kStartTimeout = std::chrono::seconds(20);

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

// Reads to its end what the container's first process writes before it executes the program. OK if
// that was anything.
Status DrainStartPipe(const UniqueFd& fifo, const UniqueFd& init) {
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  bool told = false;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    std::array<pollfd, 2> polls = {pollfd{fifo.get(), POLLIN, 0}, pollfd{init.get(), POLLIN, 0}};
    if (left.count() <= 0 ||
        ::poll(polls.data(), polls.size(), static_cast<int>(left.count())) == 0) {
      return MakeError(StatusCode::kDeadlineExceeded, "the container does not start its program",
                       {.reason = "RUNTIME_TIMEOUT"});
    }
    std::array<char, 16> buffer;
    const ssize_t got = ::read(fifo.get(), buffer.data(), buffer.size());
    if (got > 0) {
      told = true;
    } else if (polls[0].revents != 0 || polls[1].revents != 0) {
      // Nobody has the other end any more: the program is executed, or the process is gone.
      if (got < 0 && (errno == EINTR || (errno == EAGAIN && polls[1].revents == 0))) continue;
      return told ? absl::OkStatus() : Internal("the container ended before its program started");
    }
  }
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
  command.argv = {programs_.runtime(), "--version"};
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

Status RuncDriver::StartProgram(const Instance& instance) {
  // The container's first process waits until somebody reads from this pipe, and the pipe ends when
  // the program is executed: so it has been since runc 1.0, and to read is all that `runc start`
  // does. But it takes as long to come up as the rest of our start together.
  const std::filesystem::path path = RuntimeRoot() / instance.id / "exec.fifo";
  // The process first: it may have ended already once the pipe is open.
  const StatusOr<UniqueFd> init = host::OpenProcess(instance.process, host_.boot_id);
  const UniqueFd fifo(
      init.ok() ? ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW) : -1);
  // A runc that does it otherwise, or a container that is not there: runc has the right words.
  if (!fifo.valid()) return OciDriver::StartProgram(instance);
  RETURN_IF_ERROR(DrainStartPipe(fifo, *init));
  // What `runc exec` and `runc state` tell a started container by.
  return RemoveTree(path);
}

StatusOr<std::string> RuncDriver::ProveRunning(const Instance& instance) {
  const auto pid = static_cast<pid_t>(instance.process.pid);
  // runc installs the filter before it executes the program (since 1.1 when it creates the
  // container). A program that has ended by now was under it too, but cannot be asked.
  for (int attempt = 0; attempt < 2000; ++attempt) {
    const StatusOr<std::string> seccomp = host::StatusField(pid, "Seccomp");
    if (!seccomp.ok() || HasEnded(instance)) {
      return std::string("ended before its seccomp filter could be read");
    }
    if (*seccomp == "2") {
      const StatusOr<std::string> no_new_privs = host::StatusField(pid, "NoNewPrivs");
      if (!no_new_privs.ok() && HasEnded(instance)) continue;  // between the two looks
      RETURN_IF_ERROR(no_new_privs.status());
      if (*no_new_privs != "1") return Internal("the program may gain privileges");
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
  // With the processes dead this folder is all that `runc delete` would remove, besides the
  // cgroups, and it cannot even do that for a state that runc was killed while writing.
  return RemoveTree(RuntimeRoot() / id);
}

std::vector<std::string> RuncDriver::RuntimeIds() const {
  return ListDirectory(RuntimeRoot()).value_or(std::vector<std::string>());
}

}  // namespace claw::drivers
