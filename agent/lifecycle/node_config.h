#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "agent/budget/dial.h"
#include "agent/budget/ledger.h"
#include "agent/budget/limits.h"
#include "agent/budget/overhead.h"
#include "agent/host/host_info.h"
#include "agent/lifecycle/async.h"
#include "agent/lifecycle/vm_parts.h"
#include "agent/model/compat.h"
#include "agent/model/hardening.h"
#include "agent/model/host_room.h"
#include "agent/model/node_role.h"
#include "agent/model/pressure.h"
#include "agent/placement/score.h"
#include "agent/placement/target.h"
#include "agent/policy/isolation.h"
#include "drivers/driver.h"
#include "drivers/image/image_store.h"
#include "drivers/network/network.h"
#include "store/store.h"

namespace claw::lifecycle {

// What a node is made of. The references outlive the Node.
struct NodeDeps {
  asio::any_io_executor strand;
  BlockingPool& pool;
  store::Store& store;
  image::ImageStore& images;
  std::vector<drivers::Driver*> drivers;  // at most one for each isolation class
  Clock& clock;
  host::HostInfo host;
  // Connects sandboxes. Outlives the Node. Null: none may be connected here.
  network::Networks* networks = nullptr;
  // Blocks; for pool threads. Empty: nothing is known, so the node is not hardened.
  std::function<StatusOr<MachineFacts>()> read_facts{};
  // Blocks; for pool threads. Sets the memory limit around all sandboxes and reads it back. Empty:
  // there is none, as in tests of decisions.
  std::function<Status(int64_t bytes)> limit_memory{};
  // Blocks; for pool threads. What the kernel says of the machine's memory, and of all sandboxes
  // together. Empty: nobody says, and the node is never dialled back.
  std::function<StatusOr<MemoryPressure>()> read_pressure{};
  // Blocks; for pool threads. Empty: disk and tasks are not looked at.
  std::function<StatusOr<HostRoom>()> read_room{};
  // Blocks; for pool threads. Gives caches back, of the agent and of sandboxes; answers with what
  // was done, in a sentence. Empty: there are none.
  std::function<std::string()> shrink_caches{};
  VmDeps vms{};
  // For what guests are asked, so that one that hangs keeps nobody else waiting. Null: `pool`.
  BlockingPool* guest_pool = nullptr;
};

struct NodeConfig {
  std::string node_id{};
  int64_t capacity_bytes = 0;  // memory that the node may hand out, before the reserves
  // The capacity is what the kernel says that it manages, and that changes: a guest's balloon.
  bool capacity_follows = false;
  // A guest's images come from its host, which vouches for who signed them.
  NodeRole role = NodeRole::kHost;
  budget::Reserves reserves{};
  int64_t max_events = 100'000;           // older ones are removed
  int64_t max_request_records = 100'000;  // of finished requests; older ones are forgotten
  std::chrono::milliseconds stop_grace = std::chrono::seconds(10);
  bool allow_compat_baseline = true;  // images may be run under runc to compare
  std::chrono::seconds max_override_time = kMaxOverrideTime;
  NodeClass node_class = NodeClass::kStandard;
  policy::Rules rules{};
  std::vector<std::string> signers{};  // names; the signature of another one counts no longer
  budget::OverheadRules overhead{};
  // How often what runs is looked at, all of it in one pass, and how long a window is whose highest
  // overhead counts as one peak.
  std::chrono::milliseconds measure_interval = std::chrono::seconds(5);
  std::chrono::seconds measure_window = std::chrono::seconds(60);
  budget::BurstRules burst{};
  budget::DialRules dial{};
  // How often the kernel is asked while the node is under pressure, or recovers from it.
  std::chrono::milliseconds pressure_interval = std::chrono::seconds(2);
  // Over less than this a stall says nothing: the kernel reclaims for a moment here and there.
  std::chrono::milliseconds shortest_look = std::chrono::seconds(1);
  std::chrono::milliseconds eviction_grace = std::chrono::seconds(10);
  budget::Caps caps{};
  // Starts at once for each CPU, by driver. Two of gVisor's keep a core busy, more only queue
  // (measured: 12.8 a second with four at once on two cores, 10.9 with eight). Absent: no limit
  // but the pool's.
  std::map<std::string, int64_t> starts_per_cpu = {{"gvisor", 2}, {"runc", 4}, {"hardened", 4}};
  // Placement.
  std::map<std::string, std::string> labels{};
  std::vector<placement::Taint> taints{};
  placement::Weights weights{};
  bool allow_emulated = false;
  int64_t cpu_overcommit_percent = 0;  // of the CPUs, for the sum of all ceilings; 0: no bound
  int64_t min_free_disk_bytes = 0;     // less is too little for another sandbox
  int64_t start_queue = 256;           // starts of one driver that wait for their turn
  VmRules vms{};
};

}  // namespace claw::lifecycle
