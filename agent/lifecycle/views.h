#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/budget/limits.h"
#include "agent/budget/overhead.h"
#include "agent/budget/plan.h"
#include "agent/model/compat.h"
#include "agent/model/image.h"
#include "agent/model/pressure.h"
#include "agent/model/sandbox.h"
#include "agent/model/tenant.h"
#include "drivers/driver.h"
#include "drivers/network/network.h"

// What a node is asked with, and what it shows of itself.

namespace claw::lifecycle {

using Images = std::vector<Image>;
using Names = std::vector<std::string>;

// A driver as it was found when the agent came up.
struct DriverState {
  drivers::Driver* driver = nullptr;
  drivers::Fingerprint fingerprint{};
};

// One of the places that a call wants to hold.
struct Wanted {
  SandboxSpec spec{};
  std::chrono::milliseconds ttl = kDefaultLease;
  std::string image_digest{};  // whatever the spec names; empty: that
  std::string id{};            // empty: a new one
  std::string host_record{};   // see Sandbox
};

// One sandbox that the host wants in this guest, with what it knows of it. The names of images,
// tenants and overrides are the host's.
struct GuestOrder {
  Wanted wanted{};
  Tenant tenant{};
  std::vector<CompatVerdict> verdicts{};
  std::optional<CompatOverride> compat_override{};
};

// What sandboxes of an image under a driver cost, and what is charged for it.
struct OverheadView {
  SandboxClass sandboxes{};
  budget::OverheadEstimate estimate{};
  std::vector<OverheadPeak> samples{};  // of the narrowest level that has any
  budget::Room room{};                  // how many more fit, each with the workload asked about
};

// Images that nothing used, and what their removal gave back.
struct Garbage {
  std::vector<std::string> digests{};
  int64_t freed_bytes = 0;
};

// What one running sandbox used at a time.
struct SandboxStats {
  std::string id{};
  drivers::Stats stats{};
  Time time{};
};

// How a sandbox is connected and what passed.
struct NetworkView {
  Sandbox sandbox{};
  // The policies in force, the tenant's before its own; none: everything is denied.
  std::vector<network::NetworkPlan::Layer> layers{};
  network::NetworkCounters counters{};
  std::vector<network::ResolvedName> names{};
};

struct NodeCounts {
  int64_t active_sandboxes = 0;  // that have not ended
  int64_t sandboxes = 0;
  int64_t tenants = 0;
  int64_t images = 0;
};

// What is to be another of a tenant; absent: as it was.
struct TenantPatch {
  std::optional<Trust> trust{};
  std::optional<int64_t> quota_sandboxes{};
  std::optional<int64_t> quota_workload_bytes{};
  std::optional<int64_t> quota_cpu_millis{};
  std::optional<std::map<std::string, std::string>> labels{};
  std::optional<std::vector<std::string>> allowed_images{};
  std::optional<std::string> network_policy{};
};

// Memory of the node in bytes; see NodeMemory in the API.
struct MemoryView {
  int64_t capacity_bytes = 0;
  int64_t reserved_bytes = 0;
  int64_t allocatable_bytes = 0;
  int64_t required_bytes =
      0;                      // charged_bytes and what burstable sandboxes need beyond their charge
  int64_t charged_bytes = 0;  // the sum of the three
  int64_t charged_workload_bytes = 0;
  int64_t charged_overhead_bytes = 0;
  int64_t charged_test_bytes = 0;  // for tests of images that are under way
  int64_t charged_vm_bytes = 0;    // guests and what runs them
  // What the sandboxes that run used when they were last measured, page cache left out.
  int64_t measured_workload_bytes = 0;
  int64_t measured_overhead_bytes = 0;
};

// The machine and the sandboxes that a plan is asked about; see PlanCapacityRequest in the API.
struct CapacityQuestion {
  double trusted = 0;
  double untrusted = 0;
  int64_t workload_bytes = kDefaultWorkloadBytes;
  int64_t request_bytes = 0;
  std::string image{};         // empty: one that nobody knows
  int64_t capacity_bytes = 0;  // 0: this node's
  bool vm = false;
};

struct CapacityView {
  int64_t capacity_bytes = 0;
  budget::PlanAnswer plan{};
  struct Class {
    SandboxClass sandboxes{};
    budget::OverheadEstimate estimate{};
  };
  Class runc{};
  Class gvisor{};
};

// How many sandboxes there are and may be, and how the node stands under pressure.
struct ConcurrencyView {
  PressureBand band = PressureBand::kCalm;
  double stall = 0;                // share of time in which some task waits for memory
  bool is_short = false;           // of memory indeed
  bool explained = false;          // the stall is that of sandboxes at their own limits
  std::string problem{};           // why pressure is not known; empty: it is
  std::optional<int64_t> limit{};  // set by pressure
  budget::Counts counts{};
  struct Starts {
    std::string driver{};
    int64_t at_once = 0;
    int64_t under_way = 0;
    int64_t queued = 0;
  };
  std::vector<Starts> starts{};
};

}  // namespace claw::lifecycle
