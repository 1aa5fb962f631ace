#include "agent/host/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <set>
#include <thread>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/base/unique_fd.h"
#include "agent/host/linux/cgroup_hierarchies.h"

namespace claw::host {
namespace fs = std::filesystem;
namespace {

constexpr auto kKillTimeout = std::chrono::seconds(10);
constexpr int kLookAgainMillis = 20;
constexpr int64_t kCpuPeriodMicros = 100'000;  // the kernel's default, and runc's

StatusOr<int64_t> ReadNumber(const fs::path& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 4096));
  const std::string_view trimmed = Trim(text);
  // v1 says "no limit" with a number near 2^63, v2 with "max".
  if (trimmed == "max") return 0;
  int64_t value = 0;
  if (!ParseInt(trimmed, &value)) {
    return DataLoss(file.string(), " holds '", trimmed, "', which is not a number");
  }
  constexpr int64_t kUnlimited = int64_t{1} << 60;
  return value >= kUnlimited ? 0 : value;
}

// Of "KEY VALUE" lines, as in memory.events and cpu.stat; 0 if the key is not there.
int64_t Value(std::string_view text, std::string_view key) {
  for (std::string_view line : Split(text, '\n', true)) {
    const std::vector<std::string_view> words = Split(line, ' ', true);
    int64_t value = 0;
    if (words.size() == 2 && words[0] == key && ParseInt(words[1], &value)) return value;
  }
  return 0;
}

// What v1 and v2 share: everything that is about processes and folders, not about controllers.
class CgroupsBase : public Cgroups {
 public:
  explicit CgroupsBase(Hierarchies hierarchies) : hierarchies_(std::move(hierarchies)) {}

  std::string_view mode() const override { return hierarchies_.mode; }

  std::vector<pid_t> Processes(const std::string& path) override {
    std::set<pid_t> pids;
    for (const fs::path& root : hierarchies_.roots) Collect(root / path, pids);
    return {pids.begin(), pids.end()};
  }

  Status KillAll(const std::string& path) override {
    const auto deadline = std::chrono::steady_clock::now() + kKillTimeout;
    auto pause = std::chrono::microseconds(200);
    // Again and again, since a process may fork between the look and the kill.
    for (std::vector<pid_t> pids = Processes(path); !pids.empty(); pids = Processes(path)) {
      if (std::chrono::steady_clock::now() > deadline) return Survived(path, pids.size());
      for (const pid_t pid : pids) ::kill(pid, SIGKILL);
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, std::chrono::microseconds(20'000));
    }
    return absl::OkStatus();
  }

  Status Remove(const std::string& path) override {
    Status first;
    for (const fs::path& root : hierarchies_.roots) first.Update(RemoveBelow(root / path));
    return first;
  }

  std::vector<std::string> Children(const std::string& path) override {
    std::set<std::string> names;
    for (const fs::path& root : hierarchies_.roots) {
      for (const fs::path& folder : Folders(root / path)) names.insert(folder.filename());
    }
    return {names.begin(), names.end()};
  }

 protected:
  const Hierarchies& hierarchies() const { return hierarchies_; }

  static Status Survived(const std::string& path, size_t count) {
    return MakeError(StatusCode::kDeadlineExceeded,
                     StrCat(count, " processes in cgroup ", path, " survive SIGKILL"),
                     {.reason = "CGROUP_NOT_EMPTY", .constraint = path});
  }

  // mkdir -p below `root`, where `prepare` is called on each folder before one is made in it.
  template <typename Prepare>
  static Status MakeFolders(const fs::path& root, const std::string& path, Prepare prepare) {
    fs::path folder = root;
    for (std::string_view part : Split(path, '/', true)) {
      RETURN_IF_ERROR(prepare(folder));
      folder /= part;
      RETURN_IF_ERROR(EnsureDirectory(folder, 0755));
    }
    return absl::OkStatus();
  }

 private:
  static std::vector<fs::path> Folders(const fs::path& folder) {
    std::vector<fs::path> folders;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      if (it->is_directory(error)) folders.push_back(it->path());
    }
    return folders;
  }

  static void Collect(const fs::path& folder, std::set<pid_t>& pids) {
    const StatusOr<std::string> text = ReadFile(folder / "cgroup.procs");
    if (!text.ok()) return;
    for (std::string_view line : Split(*text, '\n', true)) {
      int64_t pid = 0;
      if (ParseInt(line, &pid) && pid > 0) pids.insert(static_cast<pid_t>(pid));
    }
    for (const fs::path& child : Folders(folder)) Collect(child, pids);
  }

  static Status RemoveBelow(const fs::path& folder) {
    for (const fs::path& child : Folders(folder)) RETURN_IF_ERROR(RemoveBelow(child));
    // Right after the last process has gone the kernel may still say EBUSY for a moment.
    for (int attempt = 0;; ++attempt) {
      if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
      if (errno != EBUSY || attempt == 50) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    if (errno == EBUSY) return FailedPrecondition("cgroup ", folder.string(), " is still in use");
    return ErrnoError(errno, StrCat("remove cgroup ", folder.string()));
  }

  Hierarchies hierarchies_;
};

class CgroupsV1 final : public CgroupsBase {
 public:
  using CgroupsBase::CgroupsBase;

  Status Create(const std::string& path, const CgroupLimits& limits) override {
    const Status status = CreateIn(path, limits);
    if (!status.ok()) Remove(path).IgnoreError();
    return Annotate(status, StrCat("make cgroup ", path));
  }

  Status SetMemoryMax(const std::string& path, int64_t bytes) override {
    const fs::path memory = Root("memory") / path;
    const fs::path with_swap = memory / "memory.memsw.limit_in_bytes";
    const bool swap = fs::exists(with_swap);
    const std::string value = bytes == 0 ? "-1" : StrCat(bytes);
    // One page more than without: the kernel charges this counter first, and one that fails here is
    // not counted in memory.failcnt (nor, as of Linux 6.18, anywhere else).
    const std::string value_with_swap =
        bytes == 0 ? "-1" : StrCat(SaturatingAdd(bytes, ::sysconf(_SC_PAGESIZE)));
    // The limit with swap may never be below the one without: raise it first, lower it last.
    if (swap) RETURN_IF_ERROR(WriteExisting(with_swap, "-1"));
    RETURN_IF_ERROR(WriteExisting(memory / "memory.limit_in_bytes", value));
    return swap ? WriteExisting(with_swap, value_with_swap) : absl::OkStatus();
  }

  StatusOr<CgroupLimits> ReadLimits(const std::string& path) override {
    CgroupLimits limits;
    ASSIGN_OR_RETURN(limits.memory_max_bytes,
                     ReadNumber(Root("memory") / path / "memory.limit_in_bytes"));
    ASSIGN_OR_RETURN(limits.pids_max, ReadNumber(Root("pids") / path / "pids.max"));
    ASSIGN_OR_RETURN(const int64_t quota, ReadNumber(Root("cpu") / path / "cpu.cfs_quota_us"));
    ASSIGN_OR_RETURN(const int64_t period, ReadNumber(Root("cpu") / path / "cpu.cfs_period_us"));
    limits.cpu_millis = quota <= 0 || period <= 0 ? 0 : quota * 1000 / period;
    return limits;
  }

  StatusOr<CgroupUsage> ReadUsage(const std::string& path) override {
    CgroupUsage usage;
    const fs::path memory = Root("memory") / path;
    ASSIGN_OR_RETURN(usage.memory_bytes, ReadNumber(memory / "memory.usage_in_bytes"));
    ASSIGN_OR_RETURN(usage.memory_peak_bytes, ReadNumber(memory / "memory.max_usage_in_bytes"));
    ASSIGN_OR_RETURN(usage.limit_hits, ReadNumber(memory / "memory.failcnt"));
    usage.own_limit_hits = usage.limit_hits;  // v1 does not count those below
    // "total" is with the cgroups below, and "cache" with shmem.
    ASSIGN_OR_RETURN(const std::string stat, ReadFile(memory / "memory.stat", 65536));
    // A kernel that was told not to count it has no such file, and it is in no other figure either.
    usage.kernel_bytes = ReadNumber(memory / "memory.kmem.usage_in_bytes").value_or(0);
    usage.shmem_bytes = Value(stat, "total_shmem");
    usage.page_cache_bytes = Value(stat, "total_cache") - usage.shmem_bytes;
    ASSIGN_OR_RETURN(const int64_t nanos, ReadNumber(Root("cpuacct") / path / "cpuacct.usage"));
    usage.cpu_micros = nanos / 1000;
    ASSIGN_OR_RETURN(usage.pids, ReadNumber(Root("pids") / path / "pids.current"));
    return usage;
  }

  Status Reclaim(const std::string& path, int64_t /*bytes*/) override {
    return Unimplemented("cgroup ", path, " is of v1, which cannot be asked to give memory back");
  }

  StatusOr<UniqueFd> WatchOom(const std::string& path) override {
    const fs::path folder = Root("memory") / path;
    UniqueFd count(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!count.valid()) return ErrnoError(errno, "make an eventfd");
    const UniqueFd control(::open((folder / "memory.oom_control").c_str(), O_RDONLY | O_CLOEXEC));
    if (!control.valid()) return ErrnoError(errno, StrCat("watch cgroup ", path, " for want"));
    RETURN_IF_ERROR(
        WriteExisting(folder / "cgroup.event_control", StrCat(count.get(), " ", control.get())));
    return count;
  }

  Status CheckMember(const std::string& path, pid_t pid) override {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(StrCat("/proc/", pid, "/cgroup")));
    for (const std::string_view controller : {"memory", "pids", "cpu"}) {
      if (!IsMember(text, controller, path)) {
        return FailedPrecondition("process ", pid, " is not in the ", controller, " cgroup ", path);
      }
    }
    return absl::OkStatus();
  }

 private:
  fs::path Root(std::string_view controller) const {
    return hierarchies().by_controller.at(std::string(controller));
  }

  // Lines are "ID:CONTROLLER[,CONTROLLER]:/PATH".
  static bool IsMember(std::string_view text, std::string_view controller,
                       const std::string& path) {
    for (std::string_view line : Split(text, '\n', true)) {
      const std::vector<std::string_view> parts = Split(line, ':');
      if (parts.size() < 3) continue;
      const std::vector<std::string_view> names = Split(parts[1], ',');
      if (std::find(names.begin(), names.end(), controller) == names.end()) continue;
      return IsBelow(parts[2], path);
    }
    return false;
  }

  Status CreateIn(const std::string& path, const CgroupLimits& limits) {
    for (const std::string_view controller : {"memory", "cpu", "cpuacct", "pids"}) {
      RETURN_IF_ERROR(
          MakeFolders(Root(controller), path, [](const fs::path&) { return absl::OkStatus(); }));
    }
    RETURN_IF_ERROR(SetMemoryMax(path, limits.memory_max_bytes));
    RETURN_IF_ERROR(WriteExisting(Root("pids") / path / "pids.max",
                                  limits.pids_max == 0 ? "max" : StrCat(limits.pids_max)));
    const int64_t quota = limits.cpu_millis == 0 ? -1 : limits.cpu_millis * kCpuPeriodMicros / 1000;
    return WriteExisting(Root("cpu") / path / "cpu.cfs_quota_us", StrCat(quota));
  }
};

class CgroupsV2 final : public CgroupsBase {
 public:
  using CgroupsBase::CgroupsBase;

  Status Create(const std::string& path, const CgroupLimits& limits) override {
    const Status status = CreateIn(path, limits);
    if (!status.ok()) Remove(path).IgnoreError();
    return Annotate(status, StrCat("make cgroup ", path));
  }

  Status SetMemoryMax(const std::string& path, int64_t bytes) override {
    const fs::path folder = Root() / path;
    RETURN_IF_ERROR(WriteExisting(folder / "memory.max", bytes == 0 ? "max" : StrCat(bytes)));
    if (!fs::exists(folder / "memory.swap.max")) return absl::OkStatus();
    return WriteExisting(folder / "memory.swap.max", bytes == 0 ? "max" : "0");
  }

  StatusOr<CgroupLimits> ReadLimits(const std::string& path) override {
    const fs::path folder = Root() / path;
    CgroupLimits limits;
    ASSIGN_OR_RETURN(limits.memory_max_bytes, ReadNumber(folder / "memory.max"));
    ASSIGN_OR_RETURN(limits.pids_max, ReadNumber(folder / "pids.max"));
    ASSIGN_OR_RETURN(limits.cpu_millis, ReadCpuMax(folder / "cpu.max"));
    return limits;
  }

  StatusOr<CgroupUsage> ReadUsage(const std::string& path) override {
    const fs::path folder = Root() / path;
    CgroupUsage usage;
    ASSIGN_OR_RETURN(usage.memory_bytes, ReadNumber(folder / "memory.current"));
    // memory.peak came with Linux 5.19; before that the peak is not known.
    if (fs::exists(folder / "memory.peak")) {
      ASSIGN_OR_RETURN(usage.memory_peak_bytes, ReadNumber(folder / "memory.peak"));
    }
    // Each of these counts the cgroups below, too; "file" counts shmem.
    ASSIGN_OR_RETURN(const std::string stat, ReadFile(folder / "memory.stat", 65536));
    usage.kernel_bytes = Value(stat, "kernel");
    if (usage.kernel_bytes == 0) {  // before Linux 5.18
      for (const char* part : {"slab", "kernel_stack", "pagetables", "percpu", "sock"}) {
        usage.kernel_bytes += Value(stat, part);
      }
    }
    usage.shmem_bytes = Value(stat, "shmem");
    usage.page_cache_bytes = Value(stat, "file") - usage.shmem_bytes;
    ASSIGN_OR_RETURN(const std::string events, ReadFile(folder / "memory.events", 4096));
    usage.limit_hits = Value(events, "max");
    usage.oom_kills = Value(events, "oom_kill");
    // It came with Linux 5.2; before that the figure of all has to do.
    const StatusOr<std::string> own = ReadFile(folder / "memory.events.local", 4096);
    usage.own_limit_hits = own.ok() ? Value(*own, "max") : usage.limit_hits;
    if (own.ok()) usage.own_ooms = Value(*own, "oom");
    ASSIGN_OR_RETURN(const std::string cpu, ReadFile(folder / "cpu.stat", 4096));
    usage.cpu_micros = Value(cpu, "usage_usec");
    ASSIGN_OR_RETURN(usage.pids, ReadNumber(folder / "pids.current"));
    return usage;
  }

  Status Reclaim(const std::string& path, int64_t bytes) override {
    const fs::path file = Root() / path / "memory.reclaim";
    if (!fs::exists(file)) return Unimplemented("this kernel has no memory.reclaim");
    const Status status = WriteExisting(file, StrCat(bytes));
    // The kernel says EAGAIN when it found less than that.
    return status.code() == StatusCode::kUnavailable ? absl::OkStatus() : status;
  }

  StatusOr<UniqueFd> WatchOom(const std::string& path) override {
    const fs::path file = Root() / path / "memory.events.local";
    UniqueFd events(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!events.valid()) return ErrnoError(errno, StrCat("watch cgroup ", path, " for want"));
    return events;
  }

  Status KillAll(const std::string& path) override {
    const fs::path folder = Root() / path;
    const UniqueFd events(::open((folder / "cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
    if (!events.valid()) return absl::OkStatus();  // not there
    const auto deadline = std::chrono::steady_clock::now() + kKillTimeout;
    while (IsPopulated(events.get())) {
      // The kernel's way cannot be outrun by forks, but does not reach a process whose first thread
      // has ended (seen with Linux 6.1), and came with 5.14. A signal to the process does reach it.
      WriteExisting(folder / "cgroup.kill", "1").IgnoreError();
      const std::vector<pid_t> pids = Processes(path);
      for (const pid_t pid : pids) ::kill(pid, SIGKILL);
      if (std::chrono::steady_clock::now() > deadline) return Survived(path, pids.size());
      pollfd change{events.get(), POLLPRI, 0};
      ::poll(&change, 1, kLookAgainMillis);
    }
    return absl::OkStatus();
  }

  Status CheckMember(const std::string& path, pid_t pid) override {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(StrCat("/proc/", pid, "/cgroup")));
    for (std::string_view line : Split(text, '\n', true)) {
      if (line.starts_with("0::") && IsBelow(line.substr(3), path)) return absl::OkStatus();
    }
    return FailedPrecondition("process ", pid, " is not in cgroup ", path);
  }

 private:
  fs::path Root() const { return hierarchies().roots.front(); }

  // Not by cgroup.procs: that may be empty while a last thread still holds the memory. A poll of
  // the file waits for what has happened since this read.
  static bool IsPopulated(int events) {
    std::array<char, 256> text;
    const ssize_t got = ::pread(events, text.data(), text.size(), 0);
    return got > 0 && Value({text.data(), static_cast<size_t>(got)}, "populated") != 0;
  }

  // "QUOTA PERIOD" in microseconds, where QUOTA may be "max".
  static StatusOr<int64_t> ReadCpuMax(const fs::path& file) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 4096));
    const std::vector<std::string_view> words = Split(Trim(text), ' ', true);
    if (words.size() == 2 && words[0] == "max") return 0;
    int64_t quota = 0;
    int64_t period = 0;
    if (words.size() == 2 && ParseInt(words[0], &quota) && ParseInt(words[1], &period) &&
        quota > 0 && period > 0) {
      return quota * 1000 / period;
    }
    return DataLoss(file.string(), " holds '", Trim(text), "', which is not a quota and a period");
  }

  // A controller has to be handed down by every folder on the way.
  static Status HandDown(const fs::path& folder) {
    const fs::path control = folder / "cgroup.subtree_control";
    ASSIGN_OR_RETURN(const std::string text, ReadFile(control, 4096));
    const std::vector<std::string_view> have = Split(Trim(text), ' ', true);
    const auto has = [&have](std::string_view controller) {
      return std::find(have.begin(), have.end(), controller) != have.end();
    };
    // A write that changes nothing still waits for cgroups that are on their way out.
    if (has("memory") && has("cpu") && has("pids")) return absl::OkStatus();
    const Status status = WriteExisting(control, "+memory +cpu +pids");
    // Only the machine's root may have processes beside children that are limited.
    const StatusOr<std::string> inside = ReadFile(folder / "cgroup.procs");
    if (status.ok() || !inside.ok() || Trim(*inside).empty()) return status;
    return MakeError(StatusCode::kFailedPrecondition,
                     StrCat("cgroup ", folder.string(), " has processes of its own, so that no ",
                            "limits can be set below it (", ToStd(status.message()), ")"),
                     {.reason = "CGROUP_OCCUPIED", .constraint = folder.string()});
  }

  Status CreateIn(const std::string& path, const CgroupLimits& limits) {
    RETURN_IF_ERROR(MakeFolders(Root(), path, HandDown));
    const fs::path folder = Root() / path;
    RETURN_IF_ERROR(SetMemoryMax(path, limits.memory_max_bytes));
    RETURN_IF_ERROR(
        WriteExisting(folder / "pids.max", limits.pids_max == 0 ? "max" : StrCat(limits.pids_max)));
    const std::string quota =
        limits.cpu_millis == 0 ? "max" : StrCat(limits.cpu_millis * kCpuPeriodMicros / 1000);
    return WriteExisting(folder / "cpu.max", StrCat(quota, " ", kCpuPeriodMicros));
  }
};

}  // namespace

Status CheckMemoryMax(const CgroupLimits& limits, int64_t wanted_bytes, int64_t page_size_bytes) {
  const int64_t missing = wanted_bytes - limits.memory_max_bytes;
  if (limits.memory_max_bytes > 0 && missing >= 0 && missing < page_size_bytes) {
    return absl::OkStatus();
  }
  return Internal("the memory limit reads back as ", limits.memory_max_bytes, " instead of ",
                  wanted_bytes, " bytes");
}

StatusOr<std::unique_ptr<Cgroups>> Cgroups::Detect(const fs::path& mountinfo) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(mountinfo));
  ASSIGN_OR_RETURN(Hierarchies hierarchies, ParseHierarchies(text));
  if (hierarchies.mode == "v2") return std::make_unique<CgroupsV2>(std::move(hierarchies));
  return std::make_unique<CgroupsV1>(std::move(hierarchies));
}

}  // namespace claw::host
