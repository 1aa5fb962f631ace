#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/base/unique_fd.h"

namespace claw::host {

// Ceilings of one cgroup. 0: none.
struct CgroupLimits {
  int64_t memory_max_bytes = 0;
  int64_t cpu_millis = 0;
  int64_t pids_max = 0;

  bool operator==(const CgroupLimits&) const = default;
};

// OK if the memory limit is what was asked for, but for the kernel's rounding down to pages.
Status CheckMemoryMax(const CgroupLimits& limits, int64_t wanted_bytes, int64_t page_size_bytes);

struct CgroupUsage {
  int64_t memory_bytes = 0;
  int64_t memory_peak_bytes = 0;  // 0: not known (v2 before Linux 5.19)
  // Parts of memory_bytes; the rest is anonymous memory. The kernel brings the last two up to date
  // every two seconds only, unless much has changed.
  int64_t kernel_bytes = 0;      // its own, for these processes
  int64_t shmem_bytes = 0;       // tmpfs, shared anonymous memory, memfds
  int64_t page_cache_bytes = 0;  // of files on disk: the kernel can take it back
  int64_t cpu_micros = 0;
  int64_t pids = 0;
  // How often an allocation hit the memory limit. That alone kills nothing: the kernel reclaims.
  int64_t limit_hits = 0;
  // The same of this very cgroup, without those below it.
  int64_t own_limit_hits = 0;
  // How often it found nothing to take back there and had to kill; 0 on v1, see WatchOom.
  int64_t own_ooms = 0;
  // Processes that the kernel killed for want of memory. v1 cannot tell: it does not count those in
  // cgroups below.
  std::optional<int64_t> oom_kills{};
};

// The control groups of this agent. A `path` is relative ("clawlet-1a2b/0123456789abcdef") and
// means the same folder below every hierarchy. Never touches anything outside of the paths it is
// given. Thread-safe: holds no state but where the hierarchies are. All calls block for
// microseconds to milliseconds.
class Cgroups {
 public:
  // "v1" (one hierarchy a controller), "v2" (one for all), "hybrid" (v1 controllers beside a bare
  // v2).
  static StatusOr<std::unique_ptr<Cgroups>> Detect(
      const std::filesystem::path& mountinfo = "/proc/self/mountinfo");
  virtual ~Cgroups() = default;

  virtual std::string_view mode() const = 0;

  // Makes the cgroup and sets its limits; on an error nothing is left. Already there: its limits
  // are set anew.
  virtual Status Create(const std::string& path, const CgroupLimits& limits) = 0;
  // Only the memory limit of a cgroup that exists. 0 takes it off.
  virtual Status SetMemoryMax(const std::string& path, int64_t bytes) = 0;
  // What the kernel says the limits are.
  virtual StatusOr<CgroupLimits> ReadLimits(const std::string& path) = 0;
  virtual StatusOr<CgroupUsage> ReadUsage(const std::string& path) = 0;
  // Has the kernel take back up to so many bytes of what it can, page cache first; it may find
  // less. UNIMPLEMENTED on v1, which cannot, and before Linux 5.19.
  virtual Status Reclaim(const std::string& path, int64_t bytes) = 0;
  // A descriptor that becomes ready when the kernel finds nothing to take back in this very cgroup,
  // at its limit: on v1 readable (an eventfd with the count), on v2 with a priority event of
  // memory.events.local.
  virtual StatusOr<UniqueFd> WatchOom(const std::string& path) = 0;
  // OK if the process is in this cgroup, or one below it, for memory, CPU and pids alike.
  virtual Status CheckMember(const std::string& path, pid_t pid) = 0;
  // The processes in it and below it, in any hierarchy.
  virtual std::vector<pid_t> Processes(const std::string& path) = 0;
  // Kills all of them and waits until the kernel says that none is left (DEADLINE_EXCEEDED after 10
  // s).
  virtual Status KillAll(const std::string& path) = 0;
  // Removes it and what is below it, everywhere. Not there: OK. FAILED_PRECONDITION while a process
  // is in it.
  virtual Status Remove(const std::string& path) = 0;
  // The names of the cgroups right below it, over all hierarchies, sorted.
  virtual std::vector<std::string> Children(const std::string& path) = 0;
};

}  // namespace claw::host
