#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "agent/host/cgroup.h"
#include "agent/host/host_info.h"
#include "drivers/driver.h"
#include "drivers/oci/bundle.h"
#include "drivers/oci/exit_watcher.h"
#include "drivers/oci/handle.h"
#include "drivers/oci/layout.h"
#include "drivers/oci/programs.h"

namespace claw::drivers {

// What every OCI driver is given. The references outlive the driver.
struct OciOptions {
  std::filesystem::path state_dir{};     // sandboxes live in state_dir/NAME/ID; mode 0700 is fine
  std::filesystem::path run_dir{};       // the runtime's own state and the mount points
  std::string cgroup_parent{};           // "clawlet-1a2b3c4d"; sandboxes are at PARENT/NAME/ID
  std::filesystem::path starter_path{};  // the static program that is put into gVisor sandboxes
  std::string runtime{};                 // program name or path
  std::string conmon = "conmon";
  int64_t log_max_bytes = 64 << 20;
  std::chrono::milliseconds create_timeout = std::chrono::seconds(60);
};

// The part of a driver that any runtime with the OCI command line shares: bundle, root file system,
// cgroup, supervision by conmon, exec, logs, clean-up. Runtimes differ in flags, bundle and proof.
class OciDriver : public Driver {
 public:
  OciDriver(OciOptions options, const host::HostInfo& host, host::Cgroups& cgroups,
            ExitWatcher& exits);

  Fingerprint Probe() override;
  bool RuntimeChanged() const override;
  StatusOr<Created> Create(const LaunchSpec& spec) override;
  StatusOr<std::string> Start(const DriverHandle& handle) override;
  Status Wait(const DriverHandle& handle, std::function<void(ExitObservation)> on_exit) override;
  Status Kill(const DriverHandle& handle, int signal) override;
  Status Destroy(const std::string& id) override;
  Status Purge(const std::string& id) override;
  StatusOr<Inspection> Inspect(const DriverHandle& handle) override;
  StatusOr<Stats> GetStats(const DriverHandle& handle) override;
  StatusOr<std::vector<std::string>> List() override;
  StatusOr<Recovered> Recover(const std::string& id) override;
  StatusOr<SyscallReport> ReadSyscalls(const std::string& id) override;
  int64_t SyscallLogBytes(const std::string& id) const override;
  StatusOr<std::unique_ptr<LogReader>> OpenLog(const DriverHandle& handle) override;
  StatusOr<UniqueFd> OpenInput(const DriverHandle& handle) override;
  Status ResizeTerminal(const DriverHandle& handle, int rows, int columns) override;
  StatusOr<std::unique_ptr<ExecSession>> Exec(const DriverHandle& handle,
                                              const ExecSpec& spec) override;

 protected:
  using Instance = OciInstance;

  // How the runtime wants this sandbox. Fills in what Instance needs to remember.
  virtual BundleOptions PlanBundle(const LaunchSpec& spec, Instance& instance) const = 0;
  // Flags that come before the runtime's subcommand, the same for every subcommand.
  virtual std::vector<std::string> GlobalFlags() const = 0;
  // Further flags that make the runtime log all system calls into a folder; empty: it cannot.
  virtual std::vector<std::string> TraceFlags(const std::filesystem::path& /*folder*/) const {
    return {};
  }
  // Further flags for a sandbox that may have more than loopback.
  virtual std::vector<std::string> NetworkFlags() const { return {}; }
  // What the cgroup must allow beyond the tenant's own pids.
  virtual int64_t ExtraPids() const = 0;
  // A layer to put over the image; empty: none.
  virtual std::filesystem::path StarterLayer() const = 0;
  // Checks of the runtime that need no sandbox: fills in version and platform. An error: not
  // healthy.
  virtual Status ProbeRuntime(Fingerprint& fingerprint) = 0;
  // How much of a sandbox's memory is neither its application's nor page cache.
  virtual int64_t OverheadBytes(const host::CgroupUsage& usage) const { return usage.kernel_bytes; }
  // After the creation, before the first instruction of the tenant's.
  virtual StatusOr<std::string> ProveCreated(const Instance& instance) = 0;
  // Lets the program run that waits in a sandbox which has been created.
  virtual Status StartProgram(const Instance& instance) {
    return RunRuntime({"start", instance.id}).status();
  }
  // After the start. The program may have ended already.
  virtual StatusOr<std::string> ProveRunning(const Instance& instance) = 0;
  // Sends a signal to the program.
  virtual Status SignalProgram(const Instance& instance, int signal) = 0;
  // The flag of the runtime's exec for the file into which it writes the pid that EndExec takes.
  virtual std::string_view ExecPidFlag() const { return "--pid-file"; }
  // Kills a program that Exec started; `pid` is what the runtime wrote to its pid file.
  virtual void EndExec(const Instance& instance, pid_t pid) = 0;
  // Removes what the runtime remembers of a sandbox whose processes are dead. Its cgroups and
  // mounts are not the runtime's to remove. Idempotent.
  virtual Status DeleteRuntimeState(const std::string& id) = 0;
  // Ids that the runtime remembers.
  virtual std::vector<std::string> RuntimeIds() const = 0;

  // Runs a sandbox of our own, and measures its supervisor.
  Status SelfTest(NetworkMode network, int64_t& supervisor_bytes);
  Layout LayoutOf(const std::string& id) const { return Layout(dir_ / id); }
  std::string CgroupOf(const std::string& id) const;
  std::string RuntimeCgroupOf(const std::string& id) const { return CgroupOf(id) + "/rt"; }
  std::filesystem::path RuntimeRoot() const { return options_.run_dir / std::string(name()); }
  StatusOr<std::string> RunRuntime(std::vector<std::string> arguments) const;
  bool HasEnded(const Instance& instance) const;
  Fingerprint fingerprint() const;

  const OciOptions options_;
  const host::HostInfo& host_;
  host::Cgroups& cgroups_;
  ExitWatcher& exits_;
  Programs programs_;

 private:
  Status PrepareFolders();
  Status Build(const LaunchSpec& spec, Instance& instance);
  StatusOr<std::vector<std::string>> CreateFlags(const LaunchSpec& spec, bool filtered) const;
  Status CheckLimits(const Instance& instance);
  Status CheckHealthy() const;
  Status CheckUnchanged() const;
  ExitObservation Observe(const std::string& id, int64_t cgroup_max_bytes) const;
  Status EndSupervisor(const std::string& id);

  std::filesystem::path dir_;
  mutable std::mutex mutex_;  // guards fingerprint_
  Fingerprint fingerprint_;
  std::atomic<int64_t> supervisor_bytes_ = 0;  // of fingerprint_
};

}  // namespace claw::drivers
