// The part of the driver that is about logs of system calls.

#include "agent/base/file.h"
#include "agent/base/strings.h"
#include "drivers/oci/oci_driver.h"
#include "drivers/oci/refused_calls.h"

namespace claw::drivers {
namespace fs = std::filesystem;

StatusOr<std::vector<std::string>> OciDriver::CreateFlags(const LaunchSpec& spec,
                                                          bool filtered) const {
  RETURN_IF_ERROR(CheckRefusable(spec.refused_calls, filtered));
  std::vector<std::string> flags = GlobalFlags();
  if (spec.network == NetworkMode::kBridge) {
    const std::vector<std::string> network = NetworkFlags();
    flags.insert(flags.end(), network.begin(), network.end());
  }
  if (!spec.trace_syscalls) return flags;
  const fs::path folder = LayoutOf(spec.id).trace();
  const std::vector<std::string> more = TraceFlags(folder);
  if (more.empty()) return Unimplemented("driver ", name(), " cannot log system calls");
  RETURN_IF_ERROR(EnsureDirectory(folder));
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

StatusOr<SyscallReport> OciDriver::ReadSyscalls(const std::string& id) {
  return FailedPrecondition("driver ", name(), " has logged no system calls of sandbox ", id);
}

int64_t OciDriver::SyscallLogBytes(const std::string& id) const {
  const fs::path folder = LayoutOf(id).trace();
  int64_t total = 0;
  for (const std::string& file : ListDirectory(folder).value_or(std::vector<std::string>())) {
    std::error_code error;
    const uintmax_t size = fs::file_size(folder / file, error);
    if (!error) total += static_cast<int64_t>(size);
  }
  return total;
}

}  // namespace claw::drivers
