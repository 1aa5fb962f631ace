#pragma once

#include <atomic>
#include <map>
#include <mutex>

#include "drivers/oci/oci_driver.h"

namespace claw::drivers {

// What the starter (starter.cc) said about the kernel it sees.
struct InsideReport {
  std::string release{};
  std::string version{};
  std::string kernel_log{};
  int64_t memory_bytes = 0;
  int exec_error = 0;  // errno of finding the program; 0: it can be executed
};

// From "clawlet-proof NONCE key=value …"; DATA_LOSS if it is anything else.
StatusOr<InsideReport> ParseInsideReport(std::string_view line, std::string_view nonce);

// OK if the kernel seen from inside is gVisor's and not the host's.
Status CheckIsGvisor(const InsideReport& report, const std::string& host_release);

// Untrusted code under a kernel of its own in user space (runsc).
class GvisorDriver final : public OciDriver {
 public:
  // `platform` empty: the first of systrap and ptrace that really starts a sandbox here.
  GvisorDriver(OciOptions options, std::string platform, const host::HostInfo& host,
               host::Cgroups& cgroups, ExitWatcher& exits);

  std::string_view name() const override { return "gvisor"; }
  IsolationClass isolation() const override { return IsolationClass::kGvisor; }
  Fingerprint Probe() override;
  StatusOr<Created> Create(const LaunchSpec& spec) override;
  StatusOr<SyscallReport> ReadSyscalls(const std::string& id) override;

 protected:
  BundleOptions PlanBundle(const LaunchSpec& spec, Instance& instance) const override;
  std::vector<std::string> GlobalFlags() const override;
  std::vector<std::string> NetworkFlags() const override;
  Status StartProgram(const Instance& instance) override;
  std::vector<std::string> TraceFlags(const std::filesystem::path& folder) const override;
  int64_t OverheadBytes(const host::CgroupUsage& usage) const override;
  int64_t ExtraPids() const override;
  std::filesystem::path StarterLayer() const override { return options_.run_dir / "starter"; }
  Status ProbeRuntime(Fingerprint& fingerprint) override;
  StatusOr<std::string> ProveCreated(const Instance& instance) override;
  StatusOr<std::string> ProveRunning(const Instance& instance) override;
  Status SignalProgram(const Instance& instance, int signal) override;
  // --pid-file gets the pid of `runsc exec` itself, on the host; this one the program's, inside.
  std::string_view ExecPidFlag() const override { return "--internal-pid-file"; }
  void EndExec(const Instance& instance, pid_t pid) override;
  Status DeleteRuntimeState(const std::string& id) override;
  std::vector<std::string> RuntimeIds() const override;

 private:
  Status CheckNetworkSupport();
  StatusOr<InsideReport> AwaitReport(const Instance& instance) const;

  std::string platform() const;

  const std::string wanted_platform_;
  mutable std::mutex platform_mutex_;
  std::string platform_;  // in use since the last Probe
  // How this runsc starts a sandbox that has interfaces, since the last Probe. Masked: see
  // masked_start.h.
  enum class NetworkStart { kUntried, kPlain, kMasked, kNever };
  std::mutex network_mutex_;  // held while it is tried
  std::string network_problem_;
  std::atomic<NetworkStart> network_trial_ = NetworkStart::kUntried;
  std::atomic<NetworkStart> network_start_ = NetworkStart::kUntried;
};

}  // namespace claw::drivers
