#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/base/status.h"
#include "agent/budget/burst.h"
#include "agent/budget/ledger.h"
#include "agent/model/isolation.h"
#include "agent/placement/occupancy.h"
#include "agent/policy/isolation.h"

namespace claw::placement {

// One way to run sandboxes on a target.
struct Runtime {
  std::string driver{};
  IsolationClass isolation = IsolationClass::kContainer;
  std::string problem = "nobody has looked";  // what keeps it from working; empty: it works
  std::string version{};
  std::string platform{};  // gVisor's; empty elsewhere
  int64_t overhead_prior_bytes = 0;

  bool operator==(const Runtime&) const = default;
};

// What does not change while a target is up. Many targets of a fleet share one, and what follows
// from it alone is worked out once for all of them.
struct Platform {
  std::string os = "linux";
  std::string architecture{};  // "amd64", "arm64"
  int64_t page_size_bytes = 0;
  bool emulated = false;  // its processor is (TCG)
  NodeClass node_class = NodeClass::kStandard;
  std::string hardening_problem{};  // of a hardened one; empty: it passes its own checks
  std::vector<Runtime> runtimes{};  // at most one for each isolation class

  const Runtime* Of(IsolationClass isolation) const;  // null: none
  bool operator==(const Platform&) const = default;
};

// "key" or "key=value". A target with a taint takes only what tolerates it.
struct Taint {
  std::string key{};
  std::string value{};

  bool operator==(const Taint&) const = default;
};

// What can take a sandbox, as it stands: this host, a guest, another host. Value type.
struct Target {
  std::string name{};  // "host", "vms/…", "nodes/…"
  std::shared_ptr<const Platform> platform{};
  std::map<std::string, std::string> labels{};
  std::vector<Taint> taints{};
  std::string cordoned{};  // why it takes nothing new, in words; empty: it does
  bool running = true;     // false: a VM that would have to be started first

  int64_t allocatable_bytes = 0;
  int64_t other_bytes = 0;  // of it, charged for what is no sandbox: tests of images
  int64_t cpus = 0;
  // Most that the ceilings of all its sandboxes may sum up to; 0: no bound.
  int64_t cpu_millis = 0;
  int64_t pids = 0;               // tasks that the kernel still has room for; 0: not known
  int64_t disk_bytes = 0;         // free for writable layers, beyond the reserve
  int64_t disk_needed_bytes = 0;  // what one more must find there

  Occupancy held{};
  // What tenants hold on all targets together, where their quotas count; not owned, null: `held`.
  const Occupancy* everywhere = nullptr;
  // Of the burstable ones together; not owned, null: there is none, and their limits are charged.
  const budget::BurstModel* burst = nullptr;

  // Refusals that others have worked out: of everything, and of what would run under one driver.
  std::vector<Status> holds{};
  std::map<std::string, std::vector<Status>> driver_holds{};

  Status network_hold{};  // why no more sandboxes can be connected there; OK: they can
  Status mount_hold{};    // why none may have mounts there; OK: they may

  std::set<std::string> images{};  // digests that are unpacked there
};

}  // namespace claw::placement
