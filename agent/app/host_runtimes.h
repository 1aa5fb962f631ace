#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/app/pressure_watch.h"
#include "agent/config.h"
#include "agent/host/host_info.h"
#include "agent/model/pressure.h"
#include "drivers/driver.h"
#include "drivers/network/network.h"

namespace claw {

// What runs sandboxes on this very machine, connects them and bounds them. linux/ has runc, gVisor,
// networks and cgroups; on a Mac (darwin/) there is none of it, and VMs are the only targets.
// Calls block. `config` and `host` outlive it.
class HostRuntimes {
 public:
  static StatusOr<std::unique_ptr<HostRuntimes>> Make(const Config& config,
                                                      const host::HostInfo& host);
  virtual ~HostRuntimes() = default;

  // Both live as long as this does.
  virtual std::vector<drivers::Driver*> drivers() = 0;
  virtual network::Networks* networks() = 0;  // null: none
  // "v1", "v2", "hybrid"; "none".
  virtual std::string cgroup_mode() const = 0;

  // Around all sandboxes, read back; `watch` is told what tells of its being reached.
  virtual Status LimitMemory(int64_t bytes, PressureWatch& watch) = 0;
  // The machine's memory, and how all sandboxes together stand at their limit.
  virtual StatusOr<MemoryPressure> ReadPressure(const PressureWatch& watch) = 0;
  // Answers with what was given back.
  virtual std::string ShrinkCaches() = 0;
  // What holds the sandboxes' cgroups goes, if there are none. When nothing is under way any more.
  virtual Status RemoveOwnCgroup() = 0;
};

// Why the agent has to be root here.
std::string_view WhyRoot();

}  // namespace claw
