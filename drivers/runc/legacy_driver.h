#pragma once

#include "drivers/runc/runc_driver.h"

namespace claw::drivers {

// The interfaces in the text of /proc/PID/net/dev.
std::vector<std::string> InterfacesIn(std::string_view net_dev);

// Untrusted code that gVisor cannot run, in a container stripped of everything: no capabilities, no
// folders of the host, no network but loopback, fewer system calls. Runs what others have checked
// to be allowed here; tests of images use it on any node.
class LegacyDriver final : public RuncDriver {
 public:
  using RuncDriver::RuncDriver;

  std::string_view name() const override { return "legacy"; }
  IsolationClass isolation() const override { return IsolationClass::kLegacyHardened; }
  // INVALID_ARGUMENT, reason MOUNT_NOT_ALLOWED, for a sandbox with mounts.
  StatusOr<Created> Create(const LaunchSpec& spec) override;

 protected:
  BundleOptions PlanBundle(const LaunchSpec& spec, Instance& instance) const override;
  Status ProbeRuntime(Fingerprint& fingerprint) override;
  StatusOr<std::string> ProveCreated(const Instance& instance) override;
  StatusOr<std::string> ProveRunning(const Instance& instance) override;
};

}  // namespace claw::drivers
