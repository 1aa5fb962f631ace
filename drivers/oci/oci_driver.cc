#include "drivers/oci/oci_driver.h"

#include <poll.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <set>

#include "agent/base/file.h"
#include "agent/base/id.h"
#include "agent/base/strings.h"
#include "agent/base/subprocess.h"
#include "agent/host/process.h"
#include "drivers/oci/conmon.h"
#include "drivers/oci/exec_session.h"
#include "drivers/oci/k8s_log.h"
#include "drivers/oci/pid_file.h"

namespace claw::drivers {
namespace fs = std::filesystem;
namespace {

constexpr auto kSupervisorEndTimeout = std::chrono::milliseconds(10'000);

Status ProofFailed(const Status& why) {
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("what started is not what was promised: ", ToStd(why.message())),
                   {.reason = "PROOF_FAILED"});
}

}  // namespace

OciDriver::OciDriver(OciOptions options, const host::HostInfo& host, host::Cgroups& cgroups,
                     ExitWatcher& exits)
    : options_(std::move(options)),
      host_(host),
      cgroups_(cgroups),
      exits_(exits),
      programs_(options_.runtime, options_.conmon) {}

std::string OciDriver::CgroupOf(const std::string& id) const {
  return StrCat(options_.cgroup_parent, "/", name(), "/", id);
}

Fingerprint OciDriver::fingerprint() const {
  const std::lock_guard lock(mutex_);
  return fingerprint_;
}

bool OciDriver::RuntimeChanged() const { return programs_.RuntimeChanged(); }

Status OciDriver::CheckUnchanged() const {
  if (!RuntimeChanged()) return absl::OkStatus();
  return MakeError(StatusCode::kUnavailable,
                   StrCat(options_.runtime,
                          " is not the program that was looked at; try again, and "
                          "it is looked at anew"),
                   {.reason = "RUNTIME_CHANGED",
                    .constraint = StrCat("driver/", name()),
                    .retry_after = std::chrono::seconds(1)});
}

Status OciDriver::PrepareFolders() {
  dir_ = options_.state_dir / std::string(name());
  RETURN_IF_ERROR(EnsureDirectory(dir_, 0700));
  RETURN_IF_ERROR(EnsureDirectory(RuntimeRoot(), 0711));
  // runc's exec changes to the root's path first, on the host, where nothing is mounted on it.
  return EnsureDirectory(MountPoints(options_.run_dir / "mnt").rootfs(), 0711);
}

Fingerprint OciDriver::Probe() {
  Fingerprint found;
  // Before anything is asked of it: what takes its place from now on counts as a change.
  const Status there = programs_.Look();
  const Status status = [&]() -> Status {
    RETURN_IF_ERROR(PrepareFolders());
    RETURN_IF_ERROR(there);
    found.runtime_path = programs_.runtime();
    RETURN_IF_ERROR(ProbeRuntime(found));
    found.healthy = true;
    return absl::OkStatus();
  }();
  if (!status.ok()) found.message = ToStd(status.message());
  {
    const std::lock_guard lock(mutex_);
    fingerprint_ = found;
  }
  if (!found.healthy) return found;
  if (const Status test = SelfTest(NetworkMode::kNone, found.supervisor_bytes); !test.ok()) {
    found.healthy = false;
    found.message = StrCat("a sandbox of our own does not run: ", ToStd(test.message()));
  }
  supervisor_bytes_ = found.supervisor_bytes;
  const std::lock_guard lock(mutex_);
  fingerprint_ = found;
  return found;
}

Status OciDriver::SelfTest(NetworkMode network, int64_t& supervisor_bytes) {
  // The starter is the only file that is sure to be there and to run anywhere. A copy for each
  // driver: they are probed side by side, and a program that runs cannot be written to.
  const fs::path image = options_.state_dir / "selftest" / std::string(name());
  RETURN_IF_ERROR(EnsureDirectory(image / ".clawlet", 0755));
  std::error_code error;
  fs::copy_file(options_.starter_path, image / ".clawlet/init",
                fs::copy_options::overwrite_existing, error);
  if (error) return ErrnoError(error.value(), StrCat("copy ", options_.starter_path.string()));
  LaunchSpec spec;
  spec.id = RandomHex(kSandboxIdLength);
  spec.image_rootfs = image;
  spec.argv = {"/.clawlet/init", "selftest"};
  spec.env = {"PATH=/"};
  spec.working_directory = "/";
  spec.hostname = "selftest";
  spec.resources.memory = {
      .workload_bytes = 64 * kMiB, .overhead_bytes = 64 * kMiB, .cgroup_max_bytes = 128 * kMiB};
  spec.resources.pids_max = 64;
  spec.network = network;
  // Not that of a derived class, which may want to have tested first.
  const StatusOr<Created> created = OciDriver::Create(spec);
  Status status = created.status();
  if (status.ok()) {
    // Before the start: the supervisor is gone as soon as the program has ended, which is at once.
    const StatusOr<Instance> instance = ParseHandle(name(), created->handle);
    status = instance.status();
    if (status.ok()) supervisor_bytes = host::PrivateBytes(instance->conmon).value_or(0);
  }
  if (status.ok()) status = Start(created->handle).status();
  status.Update(Destroy(spec.id));
  status.Update(Purge(spec.id));
  return status;
}

Status OciDriver::CheckHealthy() const {
  const Fingerprint now = fingerprint();
  if (now.healthy) return absl::OkStatus();
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat("driver ", name(), " cannot run sandboxes here: ", now.message),
                   {.reason = "RUNTIME_MISSING", .constraint = StrCat("driver/", name())});
}

StatusOr<Created> OciDriver::Create(const LaunchSpec& spec) {
  RETURN_IF_ERROR(CheckHealthy());
  RETURN_IF_ERROR(CheckUnchanged());
  if (!IsId(spec.id)) return Internal("'", spec.id, "' is not a sandbox id");
  std::error_code error;
  if (fs::exists(LayoutOf(spec.id).dir, error)) {
    return AlreadyExists("there is a sandbox ", spec.id, " already");
  }
  Instance instance;
  instance.id = spec.id;
  instance.network = spec.network == NetworkMode::kBridge;
  instance.workload_bytes = spec.resources.memory.workload_bytes;
  instance.cgroup_max_bytes = spec.resources.memory.cgroup_max_bytes;
  Status status = Build(spec, instance);
  if (status.ok()) {
    Created created{.handle = MakeHandle(name(), instance), .process = instance.process};
    status = WriteFileAtomic(LayoutOf(spec.id).handle(), created.handle.data);
    if (status.ok()) return created;
  }
  // If this cannot be undone now, the caller's Destroy will be asked to again.
  const Status undone = Destroy(spec.id);
  if (undone.ok()) Purge(spec.id).IgnoreError();
  return Annotate(status, StrCat("create sandbox with ", name()));
}

Status OciDriver::Build(const LaunchSpec& spec, Instance& instance) {
  const Layout layout = LayoutOf(spec.id);
  const MountPoints points(options_.run_dir / "mnt");
  if (::mkdir(layout.dir.c_str(), 0700) != 0) {
    return ErrnoError(errno, StrCat("make ", layout.dir.string()));
  }
  RETURN_IF_ERROR(EnsureDirectory(layout.exit_dir()));
  RETURN_IF_ERROR(EnsureDirectory(layout.persist()));
  RETURN_IF_ERROR(WriteFileAtomic(layout.record(), spec.record_json));
  BundleOptions bundle = PlanBundle(spec, instance);
  ASSIGN_OR_RETURN(const std::vector<std::string> flags, CreateFlags(spec, bundle.seccomp));
  bundle.architecture = host_.architecture;
  bundle.cgroup_path = StrCat("/", RuntimeCgroupOf(spec.id));
  RETURN_IF_ERROR(WriteFileAtomic(layout.config(), BundleConfig(spec, points, bundle)));
  RETURN_IF_ERROR(cgroups_.Create(CgroupOf(spec.id),
                                  {.memory_max_bytes = spec.resources.memory.cgroup_max_bytes,
                                   .cpu_millis = spec.resources.cpu_millis,
                                   .pids_max = spec.resources.pids_max + ExtraPids()}));
  ASSIGN_OR_RETURN(const RootMount root,
                   RootMount::Prepare(layout, points, spec.image_rootfs, StarterLayer(),
                                      spec.mounts, spec.node_files, instance.id_base));
  const ConmonSpec conmon{.conmon_path = programs_.conmon(),
                          .id = spec.id,
                          .runtime_path = programs_.runtime(),
                          .runtime_flags = flags,
                          .tty = spec.tty,
                          .stdin_open = spec.stdin_open,
                          .log_max_bytes = options_.log_max_bytes};
  const StatusOr<pid_t> launched = LaunchConmon(conmon, layout, root, options_.create_timeout);
  // If it was replaced meanwhile nobody knows which of the two ran, or why it failed.
  RETURN_IF_ERROR(CheckUnchanged());
  ASSIGN_OR_RETURN(const pid_t pid, launched);
  ASSIGN_OR_RETURN(instance.process, host::IdentifyProcess(pid, host_.boot_id));
  ASSIGN_OR_RETURN(const pid_t conmon_pid, ReadPid(layout.conmon_pid()));
  ASSIGN_OR_RETURN(instance.conmon, host::IdentifyProcess(conmon_pid, host_.boot_id));
  // The limit that counts is our own cgroup's, around the runtime's; the runtime's was only there
  // to tell it what the tenant may see.
  if (bundle.memory_limit_bytes > 0) {
    RETURN_IF_ERROR(cgroups_.SetMemoryMax(RuntimeCgroupOf(spec.id), 0));
  }
  return absl::OkStatus();
}

Status OciDriver::CheckLimits(const Instance& instance) {
  const std::string path = CgroupOf(instance.id);
  RETURN_IF_ERROR(cgroups_.CheckMember(path, static_cast<pid_t>(instance.process.pid)));
  ASSIGN_OR_RETURN(const host::CgroupLimits limits, cgroups_.ReadLimits(path));
  RETURN_IF_ERROR(host::CheckMemoryMax(limits, instance.cgroup_max_bytes, host_.page_size_bytes));
  if (limits.pids_max <= 0) return Internal("the limit of pids is not in force");
  return absl::OkStatus();
}

StatusOr<std::string> OciDriver::Start(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const Instance instance, ParseHandle(name(), handle));
  Status proof = CheckLimits(instance);
  std::string evidence;
  if (proof.ok()) {
    const StatusOr<std::string> created = ProveCreated(instance);
    proof = created.status();
    evidence = created.value_or("");
  }
  if (!proof.ok()) {
    cgroups_.KillAll(CgroupOf(instance.id)).IgnoreError();
    return ProofFailed(proof);
  }
  RETURN_IF_ERROR(Annotate(StartProgram(instance), "start the program"));
  const StatusOr<std::string> running = ProveRunning(instance);
  if (running.ok()) return StrCat(evidence, "; ", *running);
  cgroups_.KillAll(CgroupOf(instance.id)).IgnoreError();
  // The program's own fault comes through as it is; everything else is a broken promise.
  if (running.status().code() == StatusCode::kInvalidArgument) return running.status();
  return ProofFailed(running.status());
}

Status OciDriver::Wait(const DriverHandle& handle, std::function<void(ExitObservation)> on_exit) {
  ASSIGN_OR_RETURN(const Instance instance, ParseHandle(name(), handle));
  auto report = [this, id = instance.id, max = instance.cgroup_max_bytes,
                 on_exit = std::move(on_exit)] { on_exit(Observe(id, max)); };
  // conmon ends last, after it has written down how its container ended.
  StatusOr<UniqueFd> pidfd = host::OpenProcess(instance.conmon, host_.boot_id);
  if (pidfd.ok()) {
    exits_.Watch(instance.id, *std::move(pidfd), std::move(report));
  } else {
    report();
  }
  return absl::OkStatus();
}

ExitObservation OciDriver::Observe(const std::string& id, int64_t cgroup_max_bytes) const {
  ExitObservation seen;
  const std::optional<ConmonExit> exit = ReadConmonExit(LayoutOf(id), id);
  const StatusOr<host::CgroupUsage> usage = cgroups_.ReadUsage(CgroupOf(id));
  if (usage.ok()) seen.memory_peak_bytes = usage->memory_peak_bytes;
  if (!exit) {
    seen.exited_at = SystemClock().Now();
    return seen;
  }
  seen.exit_code = exit->exit_code;
  seen.exited_at = exit->exited_at;
  // conmon's notice, or the kernel's count. Where the kernel does not count: killed at a moment
  // when the cgroup had run into its limit. (A runtime's exit code alone lies, and runsc removes
  // its own cgroup before anyone can ask it.)
  const bool at_limit = usage.ok() && usage->limit_hits > 0 &&
                        usage->memory_peak_bytes >= cgroup_max_bytes - host_.page_size_bytes * 64;
  const bool killed = usage.ok() && usage->oom_kills.has_value() ? *usage->oom_kills > 0 : at_limit;
  seen.oom_killed = exit->exit_code != 0 && (exit->oom || (exit->exit_code == 137 && killed));
  return seen;
}

Status OciDriver::Kill(const DriverHandle& handle, int signal) {
  ASSIGN_OR_RETURN(const Instance instance, ParseHandle(name(), handle));
  if (HasEnded(instance)) return absl::OkStatus();
  if (signal == SIGKILL) return cgroups_.KillAll(CgroupOf(instance.id));
  const Status sent = SignalProgram(instance, signal);
  return HasEnded(instance) ? absl::OkStatus() : sent;
}

bool OciDriver::HasEnded(const Instance& instance) const {
  return !host::IsAlive(instance.process, host_.boot_id);
}

Status OciDriver::EndSupervisor(const std::string& id) {
  const StatusOr<pid_t> pid = ReadPid(LayoutOf(id).conmon_pid());
  if (!pid.ok()) return absl::OkStatus();
  // The file may be from another boot: only a conmon that names this very sandbox is ours.
  const std::vector<std::string> words = host::CommandLine(*pid);
  if (std::find(words.begin(), words.end(), id) == words.end() ||
      std::find(words.begin(), words.end(), LayoutOf(id).dir.string()) == words.end()) {
    return absl::OkStatus();
  }
  const StatusOr<ProcessIdentity> conmon = host::IdentifyProcess(*pid, host_.boot_id);
  if (!conmon.ok()) return absl::OkStatus();
  StatusOr<UniqueFd> pidfd = host::OpenProcess(*conmon, host_.boot_id);
  if (!pidfd.ok()) return absl::OkStatus();
  const Process process(*pid, *std::move(pidfd));
  RETURN_IF_ERROR(process.Signal(SIGKILL));
  // Until it is gone it looks as if the sandbox were about to say how it ended.
  pollfd end{process.pidfd(), POLLIN, 0};
  const auto timeout = static_cast<int>(kSupervisorEndTimeout.count());
  int ready = 0;
  while ((ready = ::poll(&end, 1, timeout)) < 0 && errno == EINTR) {
  }
  if (ready > 0) return absl::OkStatus();
  return Unavailable("the supervisor of sandbox ", id, " does not end");
}

Status OciDriver::Destroy(const std::string& id) {
  if (!IsId(id)) return Internal("'", id, "' is not a sandbox id");
  exits_.Forget(id);
  RETURN_IF_ERROR(cgroups_.KillAll(CgroupOf(id)));
  RETURN_IF_ERROR(EndSupervisor(id));
  RETURN_IF_ERROR(DeleteRuntimeState(id));
  return cgroups_.Remove(CgroupOf(id));
}

Status OciDriver::Purge(const std::string& id) {
  if (!IsId(id)) return Internal("'", id, "' is not a sandbox id");
  return RemoveTree(LayoutOf(id).dir);
}

StatusOr<Inspection> OciDriver::Inspect(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const Instance instance, ParseHandle(name(), handle));
  if (host::IsAlive(instance.process, host_.boot_id) &&
      host::IsAlive(instance.conmon, host_.boot_id)) {
    return Inspection{.presence = Presence::kRunning, .exit = std::nullopt};
  }
  const ExitObservation seen = Observe(instance.id, instance.cgroup_max_bytes);
  if (seen.exit_code) return Inspection{.presence = Presence::kExited, .exit = seen};
  // The program is over and its supervisor about to say how.
  if (host::IsAlive(instance.conmon, host_.boot_id)) {
    return Inspection{.presence = Presence::kRunning, .exit = std::nullopt};
  }
  return Inspection{.presence = Presence::kGone, .exit = seen};
}

StatusOr<Stats> OciDriver::GetStats(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const Instance instance, ParseHandle(name(), handle));
  ASSIGN_OR_RETURN(const host::CgroupUsage usage, cgroups_.ReadUsage(CgroupOf(instance.id)));
  // The kernel's counters are read one after the other while the sandbox runs.
  const int64_t cache = std::clamp<int64_t>(usage.page_cache_bytes, 0, usage.memory_bytes);
  const int64_t overhead = std::clamp<int64_t>(OverheadBytes(usage), 0, usage.memory_bytes - cache);
  return Stats{.memory_usage_bytes = usage.memory_bytes,
               .application_bytes = usage.memory_bytes - cache - overhead,
               .overhead_bytes = overhead,
               .page_cache_bytes = cache,
               .supervisor_bytes = supervisor_bytes_,
               .memory_peak_bytes = usage.memory_peak_bytes,
               .memory_limit_bytes = instance.cgroup_max_bytes,
               .cpu_usage_micros = usage.cpu_micros,
               .pids = usage.pids,
               .limit_hits = usage.limit_hits};
}

StatusOr<std::vector<std::string>> OciDriver::List() {
  std::set<std::string> ids;
  const auto add = [&ids](const std::vector<std::string>& names) {
    for (const std::string& entry : names) {
      if (IsId(entry)) ids.insert(entry);
    }
  };
  add(ListDirectory(options_.state_dir / std::string(name())).value_or(std::vector<std::string>()));
  add(cgroups_.Children(StrCat(options_.cgroup_parent, "/", name())));
  add(RuntimeIds());
  return std::vector<std::string>(ids.begin(), ids.end());
}

StatusOr<Driver::Recovered> OciDriver::Recover(const std::string& id) {
  const Layout layout = LayoutOf(id);
  Recovered found;
  ASSIGN_OR_RETURN(found.record_json, ReadFile(layout.record()));
  ASSIGN_OR_RETURN(std::string data, ReadFile(layout.handle()));
  found.handle = HandleOf(name(), std::move(data));
  ASSIGN_OR_RETURN(const Instance instance, ParseHandle(name(), found.handle));
  found.process = instance.process;
  return found;
}

StatusOr<std::unique_ptr<LogReader>> OciDriver::OpenLog(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const Instance instance, ParseHandle(name(), handle));
  return OpenK8sLog(LayoutOf(instance.id).log(),
                    instance.nonce.empty() ? "" : StrCat("clawlet-proof ", instance.nonce));
}

StatusOr<UniqueFd> OciDriver::OpenInput(const DriverHandle& handle) {
  ASSIGN_OR_RETURN(const Instance instance, ParseHandle(name(), handle));
  return ConnectInput(LayoutOf(instance.id));
}

Status OciDriver::ResizeTerminal(const DriverHandle& handle, int rows, int columns) {
  ASSIGN_OR_RETURN(const Instance instance, ParseHandle(name(), handle));
  return ResizeConsole(LayoutOf(instance.id), rows, columns);
}

StatusOr<std::unique_ptr<ExecSession>> OciDriver::Exec(const DriverHandle& handle,
                                                       const ExecSpec& spec) {
  ASSIGN_OR_RETURN(const Instance instance, ParseHandle(name(), handle));
  if (HasEnded(instance)) return FailedPrecondition("sandbox ", instance.id, " does not run");
  const Layout layout = LayoutOf(instance.id);
  const fs::path base = layout.dir / StrCat("exec-", RandomHex(8));
  const fs::path pid_file = base.string() + ".pid";
  const fs::path process_file = base.string() + ".json";
  ASSIGN_OR_RETURN(const std::string config, ReadFile(layout.config()));
  ASSIGN_OR_RETURN(const std::string process, ExecProcess(config, spec));
  RETURN_IF_ERROR(WriteFileAtomic(process_file, process));
  ProcessSpec command;
  command.argv = {programs_.runtime()};
  const std::vector<std::string> flags = GlobalFlags();
  command.argv.insert(command.argv.end(), flags.begin(), flags.end());
  command.argv.insert(command.argv.end(),
                      {"exec", StrCat("--process=", process_file.string()),
                       StrCat(ExecPidFlag(), "=", pid_file.string()), instance.id});
  return StartExec(std::move(command), spec.tty, spec.stdin_open,
                   [this, instance, pid_file, process_file](int runtime) {
                     if (runtime >= 0) {
                       const StatusOr<pid_t> pid = AwaitPid(pid_file, runtime);
                       if (pid.ok()) EndExec(instance, *pid);
                     }
                     RemoveTree(pid_file).IgnoreError();
                     RemoveTree(process_file).IgnoreError();
                   });
}

StatusOr<std::string> OciDriver::RunRuntime(std::vector<std::string> arguments) const {
  ProcessSpec command;
  command.argv = {programs_.runtime()};
  const std::vector<std::string> flags = GlobalFlags();
  command.argv.insert(command.argv.end(), flags.begin(), flags.end());
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  return RunOrError(std::move(command));
}

}  // namespace claw::drivers
