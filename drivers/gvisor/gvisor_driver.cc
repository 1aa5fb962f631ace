#include "drivers/gvisor/gvisor_driver.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>

#include "agent/base/file.h"
#include "agent/base/id.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "agent/host/process.h"
#include "drivers/gvisor/masked_start.h"
#include "drivers/gvisor/syscall_log.h"
#include "drivers/oci/k8s_log.h"

namespace claw::drivers {
namespace {

// Until it has been measured: idle shells take 14 MiB, but a program of many files and processes a
// multiple (measured with runsc of December 2022 on ptrace); 150 MiB on KVM.
constexpr int64_t kOverheadPriorBytes = 64 * kMiB;
constexpr int64_t kOverheadPriorKvmBytes = 150 * kMiB;

// runsc needs some 60 threads and processes of its own (measured); on ptrace each of the tenant's
// threads is one of the host's as well.
constexpr int64_t kOwnPids = 96;

// A short Python program writes about 1 MB.
constexpr int64_t kMaxTraceBytes = 256 * kMiB;

Status ReadTrace(const std::filesystem::path& file, int64_t& left, SyscallLog& log) {
  const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return ErrnoError(errno, StrCat("open ", file.string()));
  std::vector<char> buffer(256 * 1024);
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError(errno, StrCat("read ", file.string()));
    if (got == 0) return absl::OkStatus();
    left -= got;
    if (left < 0) {
      log.Cut();
      return absl::OkStatus();
    }
    log.Feed({buffer.data(), static_cast<size_t>(got)});
  }
}

constexpr auto kReportTimeout = std::chrono::seconds(20);

}  // namespace

StatusOr<InsideReport> ParseInsideReport(std::string_view line, std::string_view nonce) {
  const std::vector<std::string_view> words = Split(Trim(line), ' ', true);
  if (words.size() < 3 || words[0] != "clawlet-proof" || words[1] != nonce) {
    return DataLoss("the sandbox's first output is not the starter's report");
  }
  std::map<std::string_view, std::string_view> fields;
  for (size_t i = 2; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    if (equals != std::string_view::npos) {
      fields[words[i].substr(0, equals)] = words[i].substr(equals + 1);
    }
  }
  InsideReport report;
  report.release = fields["release"];
  report.version = fields["version"];
  report.kernel_log = fields["klog"];
  int64_t exec_error = 0;
  if (report.release.empty() || !ParseInt(fields["memory"], &report.memory_bytes) ||
      !ParseInt(fields["exec"], &exec_error) || exec_error < 0 || exec_error > 4095) {
    return DataLoss("the starter's report lacks a field");
  }
  report.exec_error = static_cast<int>(exec_error);
  return report;
}

Status CheckIsGvisor(const InsideReport& report, const std::string& host_release) {
  // gVisor's kernel log begins with this line; a Linux kernel gives an unprivileged reader an
  // error, or its own.
  if (report.kernel_log.find("Starting_gVisor") == std::string::npos) {
    return Internal("the kernel seen from inside (", report.release,
                    ") is not gVisor's: its log says '", report.kernel_log, "'");
  }
  if (report.release == host_release) {
    return Internal("the kernel seen from inside is the host's, ", host_release);
  }
  return absl::OkStatus();
}

GvisorDriver::GvisorDriver(OciOptions options, std::string platform, const host::HostInfo& host,
                           host::Cgroups& cgroups, ExitWatcher& exits)
    : OciDriver(std::move(options), host, cgroups, exits), wanted_platform_(std::move(platform)) {}

std::string GvisorDriver::platform() const {
  const std::lock_guard lock(platform_mutex_);
  return platform_;
}

Fingerprint GvisorDriver::Probe() {
  const std::vector<std::string> candidates = wanted_platform_.empty()
                                                  ? std::vector<std::string>{"systrap", "ptrace"}
                                                  : std::vector<std::string>{wanted_platform_};
  Fingerprint found;
  for (const std::string& candidate : candidates) {
    {
      const std::lock_guard lock(platform_mutex_);
      platform_ = candidate;
    }
    network_start_ = NetworkStart::kUntried;
    found = OciDriver::Probe();
    if (found.healthy) return found;
  }
  return found;
}

StatusOr<Created> GvisorDriver::Create(const LaunchSpec& spec) {
  if (spec.network == NetworkMode::kBridge) RETURN_IF_ERROR(CheckNetworkSupport());
  return OciDriver::Create(spec);
}

Status GvisorDriver::ProbeRuntime(Fingerprint& fingerprint) {
  if (host_.page_size_bytes != 4096) {
    return FailedPrecondition("gVisor needs pages of 4096 bytes, this machine has ",
                              host_.page_size_bytes);
  }
  ProcessSpec command;
  command.argv = {programs_.runtime(), "--version"};
  ASSIGN_OR_RETURN(const std::string text, RunOrError(std::move(command)));
  const std::string_view line = Split(text, '\n').front();
  fingerprint.runtime_version = line.substr(line.find_last_of(' ') + 1);
  fingerprint.platform = platform();
  // Asking costs milliseconds, where a sandbox of an unknown platform takes long to fail.
  command.argv = {programs_.runtime(), StrCat("--platform=", platform()), "--version"};
  if (const Status known = RunOrError(std::move(command)).status(); !known.ok()) {
    return FailedPrecondition("this runsc does not know the platform ", platform());
  }
  fingerprint.overhead_prior_bytes =
      platform() == "kvm" ? kOverheadPriorKvmBytes : kOverheadPriorBytes;
  fingerprint.capabilities = {"exec", "stats", "oom", "workload-memory-view"};
  RETURN_IF_ERROR(EnsureDirectory(StarterLayer() / ".clawlet", 0755));
  const std::filesystem::path copy = StarterLayer() / ".clawlet/init";
  ASSIGN_OR_RETURN(const std::string starter, ReadFile(options_.starter_path));
  const StatusOr<std::string> present = ReadFile(copy);
  if (present.ok() && *present == starter) return absl::OkStatus();
  return WriteFileAtomic(copy, starter, 0755);
}

BundleOptions GvisorDriver::PlanBundle(const LaunchSpec& spec, Instance& instance) const {
  instance.nonce = RandomHex(16);
  const NetworkStart known = network_start_;
  const NetworkStart how = known == NetworkStart::kUntried ? network_trial_.load() : known;
  instance.masked_start = instance.network && how == NetworkStart::kMasked;
  BundleOptions options;
  // runsc takes the size of the memory that it shows inside from this limit when it creates the
  // sandbox.
  options.memory_limit_bytes = spec.resources.memory.workload_bytes;
  options.argv_prefix = {"/.clawlet/init", instance.nonce};
  options.mounts_are_staged = true;
  return options;
}

std::vector<std::string> GvisorDriver::GlobalFlags() const {
  return {StrCat("--root=", RuntimeRoot().string()), StrCat("--platform=", platform()),
          "--network=none"};
}

// The last one counts.
std::vector<std::string> GvisorDriver::NetworkFlags() const { return {"--network=sandbox"}; }

Status GvisorDriver::CheckNetworkSupport() {
  const std::lock_guard lock(network_mutex_);
  for (const NetworkStart how : {NetworkStart::kPlain, NetworkStart::kMasked}) {
    if (network_start_ != NetworkStart::kUntried) break;
    network_trial_ = how;
    int64_t supervisor_bytes = 0;
    const Status tried = SelfTest(NetworkMode::kBridge, supervisor_bytes);
    if (tried.ok()) network_start_ = how;
    network_problem_ = ToStd(tried.message());
  }
  if (network_start_ == NetworkStart::kUntried) network_start_ = NetworkStart::kNever;
  if (network_start_ != NetworkStart::kNever) return absl::OkStatus();
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("this runsc cannot give a sandbox a network: ", network_problem_),
                   {.reason = "NETWORK_UNSUPPORTED", .constraint = "network.mode"});
}

Status GvisorDriver::StartProgram(const Instance& instance) {
  if (!instance.network) return OciDriver::StartProgram(instance);
  std::vector<std::string> words = GlobalFlags();
  const std::vector<std::string> network = NetworkFlags();
  words.insert(words.begin(), programs_.runtime());
  words.insert(words.end(), network.begin(), network.end());
  words.insert(words.end(), {"start", instance.id});
  ProcessSpec command;
  command.argv = std::move(words);
  if (!instance.masked_start) return RunOrError(std::move(command)).status();
  ASSIGN_OR_RETURN(const MaskedStart masked,
                   MaskedStart::Prepare(static_cast<pid_t>(instance.process.pid)));
  command.before_exec = [&masked] { return masked.Enter(); };
  return RunOrError(std::move(command)).status();
}

std::vector<std::string> GvisorDriver::TraceFlags(const std::filesystem::path& folder) const {
  // All calls: the names that --strace-syscalls takes are not those of `runsc help syscalls`. Data
  // of reads and writes is of no interest. The slash makes it a folder.
  return {"--debug", StrCat("--debug-log=", folder.string(), "/"), "--strace",
          "--strace-log-size=16"};
}

StatusOr<SyscallReport> GvisorDriver::ReadSyscalls(const std::string& id) {
  ProcessSpec command;
  command.argv = {programs_.runtime(), "help", "syscalls", "-format", "json"};
  ASSIGN_OR_RETURN(const std::string json, RunOrError(std::move(command)));
  ASSIGN_OR_RETURN(const SupportTable table, ParseSupportTable(json, host_.architecture));
  const std::filesystem::path folder = LayoutOf(id).trace();
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ListDirectory(folder));
  SyscallLog log;
  int64_t left = kMaxTraceBytes;
  bool found = false;
  for (const std::string& file : files) {
    // One for each of runsc's processes; "boot" is the kernel.
    if (!file.ends_with(".boot.txt")) continue;
    found = true;
    RETURN_IF_ERROR(ReadTrace(folder / file, left, log));
  }
  if (!found) return DataLoss("the runtime wrote no log of the sandbox's system calls");
  return MakeReport(log, table);
}

int64_t GvisorDriver::OverheadBytes(const host::CgroupUsage& usage) const {
  // All of the application's memory, and the files that it keeps in memory, is in one memfd; what
  // is anonymous is the Sentry's and the gofer's. Measured with programs that touch 64 MiB to 1
  // GiB.
  return usage.memory_bytes - usage.shmem_bytes - usage.page_cache_bytes;
}

int64_t GvisorDriver::ExtraPids() const { return kOwnPids; }

StatusOr<std::string> GvisorDriver::ProveCreated(const Instance& instance) {
  const auto pid = static_cast<pid_t>(instance.process.pid);
  const std::string executable = host::Executable(pid);
  std::error_code error;
  if (!std::filesystem::equivalent(executable, programs_.runtime(), error) || error) {
    return Internal("process ", pid, " runs ", executable, " instead of ", programs_.runtime());
  }
  const std::vector<std::string> words = host::CommandLine(pid);
  const auto has = [&words](std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  if (!has("boot") || !has(instance.id)) {
    return Internal("process ", pid, " is not the gVisor kernel of sandbox ", instance.id);
  }
  return StrCat("gVisor kernel in process ", pid, " on ", platform());
}

StatusOr<InsideReport> GvisorDriver::AwaitReport(const Instance& instance) const {
  ASSIGN_OR_RETURN(const std::unique_ptr<LogReader> log,
                   OpenK8sLog(LayoutOf(instance.id).log(), ""));
  const StatusOr<UniqueFd> conmon = host::OpenProcess(instance.conmon, host_.boot_id);
  const auto deadline = std::chrono::steady_clock::now() + kReportTimeout;
  bool ended = !conmon.ok();
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<LogRecord> records, log->Read());
    if (!records.empty()) return ParseInsideReport(records.front().data, instance.nonce);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (ended) return Internal("the sandbox ended before it said which kernel it sees");
    if (left.count() <= 0) return Internal("the sandbox does not say which kernel it sees");
    pollfd events[2] = {{log->change_fd(), POLLIN, 0}, {conmon->get(), POLLIN, 0}};
    ::poll(events, 2, static_cast<int>(left.count()));
    // Once more round: its last words may be in the log.
    ended = events[1].revents != 0;
  }
}

StatusOr<std::string> GvisorDriver::ProveRunning(const Instance& instance) {
  ASSIGN_OR_RETURN(const InsideReport report, AwaitReport(instance));
  RETURN_IF_ERROR(CheckIsGvisor(report, host_.kernel_version));
  if (report.exec_error != 0) {
    return MakeError(
        StatusCode::kInvalidArgument,
        StrCat("the program cannot be executed in the sandbox: ", std::strerror(report.exec_error)),
        {.reason = "COMMAND_NOT_FOUND", .constraint = "command"});
  }
  if (report.memory_bytes > instance.cgroup_max_bytes) {
    return Internal("the sandbox sees ", report.memory_bytes,
                    " bytes of memory, more than its limit");
  }
  return StrCat("inside: Linux ", report.release, " by gVisor, ", FormatBytes(report.memory_bytes),
                " of memory");
}

Status GvisorDriver::SignalProgram(const Instance& instance, int signal) {
  return RunRuntime({"kill", instance.id, StrCat(signal)}).status();
}

void GvisorDriver::EndExec(const Instance& instance, pid_t pid) {
  RunRuntime({"kill", StrCat("--pid=", pid), instance.id, "9"}).IgnoreError();
}

Status GvisorDriver::DeleteRuntimeState(const std::string& id) {
  // With the processes dead, `runsc delete` would remove nothing else; and it can neither delete
  // what was created only in part, nor go on before init has reaped the dead.
  for (const std::string& file :
       ListDirectory(RuntimeRoot()).value_or(std::vector<std::string>())) {
    if (file.starts_with(id)) RETURN_IF_ERROR(RemoveTree(RuntimeRoot() / file));
  }
  return absl::OkStatus();
}

std::vector<std::string> GvisorDriver::RuntimeIds() const {
  std::set<std::string> ids;
  for (const std::string& file :
       ListDirectory(RuntimeRoot()).value_or(std::vector<std::string>())) {
    ids.insert(file.substr(0, kSandboxIdLength));
  }
  return {ids.begin(), ids.end()};
}

}  // namespace claw::drivers
