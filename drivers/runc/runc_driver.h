#pragma once

#include "drivers/oci/oci_driver.h"

namespace claw::drivers {

// Trusted code in a container of the host's kernel, in a user namespace of its own.
class RuncDriver : public OciDriver {
 public:
  using OciDriver::OciDriver;

  std::string_view name() const override { return "runc"; }
  IsolationClass isolation() const override { return IsolationClass::kContainer; }

 protected:
  BundleOptions PlanBundle(const LaunchSpec& spec, Instance& instance) const override;
  std::vector<std::string> GlobalFlags() const override;
  int64_t ExtraPids() const override { return 8; }
  std::filesystem::path StarterLayer() const override { return {}; }
  Status ProbeRuntime(Fingerprint& fingerprint) override;
  StatusOr<std::string> ProveCreated(const Instance& instance) override;
  Status StartProgram(const Instance& instance) override;
  StatusOr<std::string> ProveRunning(const Instance& instance) override;
  Status SignalProgram(const Instance& instance, int signal) override;
  void EndExec(const Instance& instance, pid_t pid) override;
  Status DeleteRuntimeState(const std::string& id) override;
  std::vector<std::string> RuntimeIds() const override;
};

}  // namespace claw::drivers
