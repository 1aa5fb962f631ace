#include "drivers/runc/legacy_driver.h"

#include <algorithm>

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "agent/host/process.h"

namespace claw::drivers {
namespace {

// A container without capabilities could not add an interface to its network namespace, so what is
// there before its first instruction is all that will ever be.
Status CheckInterfaces(pid_t pid, bool network) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(StrCat("/proc/", pid, "/net/dev")));
  std::vector<std::string> interfaces = InterfacesIn(text);
  std::sort(interfaces.begin(), interfaces.end());
  std::vector<std::string> promised = {"lo"};
  if (network) promised = {"eth0", "lo"};
  if (interfaces == promised) return absl::OkStatus();
  return Internal("the container has network interfaces ", Join(interfaces, ", "), " instead of ",
                  Join(promised, ", "));
}

Status CheckNoCapabilities(pid_t pid) {
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    ASSIGN_OR_RETURN(const std::string mask, host::StatusField(pid, set));
    if (mask.find_first_not_of('0') != std::string::npos) {
      return Internal("the program has capabilities: ", set, " is ", mask);
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<std::string> InterfacesIn(std::string_view net_dev) {
  std::vector<std::string> names;
  for (const std::string_view line : Split(net_dev, '\n', true)) {
    // The two lines of headings have no colon; the counters have none either.
    const size_t colon = line.rfind(':');
    if (colon == std::string_view::npos) continue;
    names.emplace_back(Trim(line.substr(0, colon)));
  }
  return names;
}

StatusOr<Created> LegacyDriver::Create(const LaunchSpec& spec) {
  if (!spec.mounts.empty()) {
    return MakeError(StatusCode::kInvalidArgument,
                     "legacy code gets no folders of the host; put what it needs into its image",
                     {.reason = "MOUNT_NOT_ALLOWED",
                      .constraint = "mounts",
                      .needed = "no mounts",
                      .available = StrCat(spec.mounts.size(), " mounts")});
  }
  return RuncDriver::Create(spec);
}

BundleOptions LegacyDriver::PlanBundle(const LaunchSpec& spec, Instance& instance) const {
  BundleOptions options = RuncDriver::PlanBundle(spec, instance);
  options.hardened = true;
  return options;
}

Status LegacyDriver::ProbeRuntime(Fingerprint& fingerprint) {
  RETURN_IF_ERROR(RuncDriver::ProbeRuntime(fingerprint));
  // Each start proves them, that of the driver's own sandbox first.
  fingerprint.capabilities.insert(fingerprint.capabilities.end(),
                                  {"no-capabilities", "no-network"});
  return absl::OkStatus();
}

StatusOr<std::string> LegacyDriver::ProveCreated(const Instance& instance) {
  ASSIGN_OR_RETURN(std::string evidence, RuncDriver::ProveCreated(instance));
  const auto pid = static_cast<pid_t>(instance.process.pid);
  RETURN_IF_ERROR(CheckInterfaces(pid, instance.network));
  return StrCat(evidence, instance.network ? ", one interface" : ", loopback alone");
}

StatusOr<std::string> LegacyDriver::ProveRunning(const Instance& instance) {
  ASSIGN_OR_RETURN(const std::string evidence, RuncDriver::ProveRunning(instance));
  const auto pid = static_cast<pid_t>(instance.process.pid);
  Status proof = CheckNoCapabilities(pid);
  proof.Update(CheckInterfaces(pid, instance.network));
  // What has ended since cannot be asked, nor what is about to: a process that exits lets go of its
  // namespaces first, and then has no network to read. It had none before its first instruction.
  if (HasEnded(instance) || proof.code() == StatusCode::kNotFound) return evidence;
  RETURN_IF_ERROR(proof);
  return StrCat(evidence, ", no capabilities");
}

}  // namespace claw::drivers
