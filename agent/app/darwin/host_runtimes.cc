#include "agent/app/host_runtimes.h"

#include <malloc/malloc.h>

#include <mutex>

#include "agent/host/mac_facts.h"
#include "agent/host/pressure.h"

namespace claw {
namespace {

// On a Mac only VMs are targets: their guests have the runtimes, the networks and the cgroups.
class NoRuntimes final : public HostRuntimes {
 public:
  std::vector<drivers::Driver*> drivers() override { return {}; }
  network::Networks* networks() override { return nullptr; }
  std::string cgroup_mode() const override { return "none"; }

  // What bounds a VM is the size that it is given.
  Status LimitMemory(int64_t /*bytes*/, PressureWatch& /*watch*/) override {
    return absl::OkStatus();
  }
  StatusOr<MemoryPressure> ReadPressure(const PressureWatch& /*watch*/) override {
    ASSIGN_OR_RETURN(MemoryPressure pressure, host::ReadMemoryPressure());
    const std::lock_guard<std::mutex> lock(mutex_);
    pressure.some_micros = stall_.Add(pressure.at, pressure.some_avg10_percent);
    return pressure;
  }
  std::string ShrinkCaches() override {
    ::malloc_zone_pressure_relief(nullptr, 0);
    return "";
  }
  Status RemoveOwnCgroup() override { return absl::OkStatus(); }

 private:
  std::mutex mutex_;  // it is looked from pool threads
  host::StallAccount stall_;
};

}  // namespace

StatusOr<std::unique_ptr<HostRuntimes>> HostRuntimes::Make(const Config& /*config*/,
                                                           const host::HostInfo& /*host*/) {
  return std::make_unique<NoRuntimes>();
}

std::string_view WhyRoot() { return "its VMs, their keys and its records are nobody else's"; }

}  // namespace claw
