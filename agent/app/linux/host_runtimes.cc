#include "agent/app/host_runtimes.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "agent/app/network_keys.h"
#include "agent/base/file.h"
#include "agent/host/cgroup.h"
#include "agent/host/pressure.h"
#include "drivers/gvisor/gvisor_driver.h"
#include "drivers/oci/exit_watcher.h"
#include "drivers/runc/legacy_driver.h"
#include "drivers/runc/runc_driver.h"

namespace claw {
namespace {

namespace fs = std::filesystem;

// Beside the agent where it was built, in libexec where it was installed.
fs::path FindStarter(const Config& config) {
  if (!config.starter.empty()) return config.starter;
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  fs::path beside = folder / "clawlet-starter";
  if (fs::exists(beside, error)) return beside;
  fs::path installed = folder.parent_path() / "libexec/clawlet/clawlet-starter";
  return fs::exists(installed, error) ? installed : beside;
}

class LinuxRuntimes final : public HostRuntimes {
 public:
  LinuxRuntimes(const Config& config, const host::HostInfo& host) : config_(config), host_(host) {}

  Status Build() {
    ASSIGN_OR_RETURN(cgroups_, host::Cgroups::Detect());
    MakeDrivers();
    return MakeNetworks();
  }

  std::vector<drivers::Driver*> drivers() override {
    std::vector<drivers::Driver*> all;
    for (const auto& driver : drivers_) all.push_back(driver.get());
    return all;
  }
  network::Networks* networks() override { return networks_.get(); }
  std::string cgroup_mode() const override { return std::string(cgroups_->mode()); }

  Status LimitMemory(int64_t bytes, PressureWatch& watch) override;
  StatusOr<MemoryPressure> ReadPressure(const PressureWatch& watch) override;
  std::string ShrinkCaches() override;
  Status RemoveOwnCgroup() override;

 private:
  void MakeDrivers();
  Status MakeNetworks();

  const Config& config_;
  const host::HostInfo& host_;
  // What stands below uses what stands above.
  std::unique_ptr<host::Cgroups> cgroups_;
  std::unique_ptr<drivers::ExitWatcher> exits_;
  std::vector<std::unique_ptr<drivers::Driver>> drivers_;
  std::unique_ptr<network::Networks> networks_;  // null: the config turns them off
};

void LinuxRuntimes::MakeDrivers() {
  exits_ = std::make_unique<drivers::ExitWatcher>();
  drivers::OciOptions options{.state_dir = config_.state_dir / "sandboxes",
                              .run_dir = config_.run_dir,
                              .cgroup_parent = InstanceName(config_.state_dir),
                              .starter_path = FindStarter(config_),
                              .runtime = config_.runc.path,
                              .conmon = config_.conmon,
                              .log_max_bytes = config_.sandbox_log_bytes};
  if (config_.runc.enabled) {
    drivers_.push_back(std::make_unique<drivers::RuncDriver>(options, host_, *cgroups_, *exits_));
    drivers_.push_back(std::make_unique<drivers::LegacyDriver>(options, host_, *cgroups_, *exits_));
  }
  options.runtime = config_.gvisor.path;
  if (config_.gvisor.enabled) {
    drivers_.push_back(std::make_unique<drivers::GvisorDriver>(options, config_.gvisor.platform,
                                                               host_, *cgroups_, *exits_));
  }
}

Status LinuxRuntimes::MakeNetworks() {
  if (!config_.network.enabled) return absl::OkStatus();
  ASSIGN_OR_RETURN(network::NetworkConfig config,
                   MakeNetworkConfig(config_, ReadFile("/etc/resolv.conf", 65536).value_or("")));
  networks_ = network::MakeNetworks(std::move(config));
  return absl::OkStatus();
}

Status LinuxRuntimes::LimitMemory(int64_t bytes, PressureWatch& watch) {
  const std::string own = InstanceName(config_.state_dir);
  const bool used = !cgroups_->Children(own).empty();
  if (used) {
    // What sandboxes are in keeps running: below what they hold v2 would kill, where v1 refuses.
    ASSIGN_OR_RETURN(const host::CgroupUsage usage, cgroups_->ReadUsage(own));
    const int64_t held = usage.memory_bytes - usage.page_cache_bytes;
    if (held > bytes) {
      return FailedPrecondition("sandboxes hold ", FormatBytes(held), ", more than ",
                                FormatBytes(bytes));
    }
  }
  RETURN_IF_ERROR(used ? cgroups_->SetMemoryMax(own, bytes)
                       : cgroups_->Create(own, {.memory_max_bytes = bytes}));
  // It may have been made anew; a kernel that does not tell is asked with each look all the same.
  StatusOr<UniqueFd> want = cgroups_->WatchOom(own);
  if (want.ok()) watch.WatchOom(*std::move(want), cgroups_->mode() == "v2");
  ASSIGN_OR_RETURN(const host::CgroupLimits limits, cgroups_->ReadLimits(own));
  return Annotate(host::CheckMemoryMax(limits, bytes, host_.page_size_bytes),
                  StrCat("cgroup ", own));
}

StatusOr<MemoryPressure> LinuxRuntimes::ReadPressure(const PressureWatch& watch) {
  ASSIGN_OR_RETURN(MemoryPressure pressure, host::ReadMemoryPressure());
  pressure.group_ooms = watch.ooms();
  // Without a cgroup there are no sandboxes that could be at its limit.
  const auto usage = cgroups_->ReadUsage(InstanceName(config_.state_dir));
  if (usage.status().code() == StatusCode::kNotFound) return pressure;
  if (!usage.ok()) return usage.status();
  pressure.group_limit_hits = usage->own_limit_hits;
  pressure.group_ooms += usage->own_ooms;
  return pressure;
}

std::string LinuxRuntimes::ShrinkCaches() {
  const std::string own = InstanceName(config_.state_dir);
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
  const auto before = cgroups_->ReadUsage(own);
  if (!before.ok() || before->page_cache_bytes <= 0) return "";
  // Not all of it: programs that run are in there, too, and would be read again at once.
  const Status reclaimed = cgroups_->Reclaim(own, before->page_cache_bytes / 4);
  const auto after = cgroups_->ReadUsage(own);
  if (!reclaimed.ok() || !after.ok()) return "";
  return StrCat("page cache of sandboxes: ", FormatBytes(before->page_cache_bytes), " before, ",
                FormatBytes(after->page_cache_bytes), " now");
}

Status LinuxRuntimes::RemoveOwnCgroup() {
  const std::string own = InstanceName(config_.state_dir);
  for (const std::string& driver : cgroups_->Children(own)) {
    // Sandboxes that go on running.
    if (!cgroups_->Children(StrCat(own, "/", driver)).empty()) return absl::OkStatus();
  }
  return cgroups_->Remove(own);
}

}  // namespace

StatusOr<std::unique_ptr<HostRuntimes>> HostRuntimes::Make(const Config& config,
                                                           const host::HostInfo& host) {
  auto runtimes = std::make_unique<LinuxRuntimes>(config, host);
  RETURN_IF_ERROR(runtimes->Build());
  return runtimes;
}

std::string_view WhyRoot() { return "it makes namespaces, cgroups and mounts"; }

}  // namespace claw
