#pragma once

#include <optional>
#include <string>

#include "drivers/driver.h"
#include "drivers/oci/layout.h"

namespace claw::drivers {

// How one runtime's bundle differs from another's.
struct BundleOptions {
  std::string architecture{};      // "amd64": for the seccomp profile
  std::string cgroup_path{};       // absolute in the hierarchy, of the runtime's own cgroup
  int64_t memory_limit_bytes = 0;  // written to that cgroup by the runtime; 0: none
  bool seccomp = false;            // gVisor has its own kernel and its own filters
  bool cgroup_namespace = false;
  // The strictest container there is: no capability at all, fewer system calls, less to see of the
  // host.
  bool hardened = false;
  // First host id of a range of 65536 for a user namespace; absent: none.
  std::optional<uint32_t> id_base{};
  std::vector<std::string> argv_prefix{};  // put before the program: clawlet's starter
  bool mounts_are_staged = false;          // bind from MountPoints::bind(N) instead of the source
};

constexpr uint32_t kIdRange = 65536;

// The text of config.json: no new privileges, no capabilities beyond those of an unprivileged
// daemon (hardened: none), masked paths, private namespaces, a network namespace with nothing in
// it.
std::string BundleConfig(const LaunchSpec& spec, const MountPoints& points,
                         const BundleOptions& options);

// The process that `exec` adds to a sandbox with this config.json: as confined as the first one,
// with its user, its environment and what `spec` says on top.
StatusOr<std::string> ExecProcess(const std::string& config, const ExecSpec& spec);

}  // namespace claw::drivers
