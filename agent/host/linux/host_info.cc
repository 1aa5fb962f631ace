#include "agent/host/host_info.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>

#include "agent/base/bytes.h"
#include "agent/base/file.h"
#include "agent/base/strings.h"

namespace claw::host {
namespace {

std::string GoArchitecture(std::string_view machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return std::string(machine);
}

}  // namespace

StatusOr<HostInfo> ReadHostInfo() {
  utsname names{};
  if (::uname(&names) != 0) return ErrnoError(errno, "uname");
  struct sysinfo memory {};
  if (::sysinfo(&memory) != 0) return ErrnoError(errno, "sysinfo");
  ASSIGN_OR_RETURN(const std::string boot_id, ReadFile("/proc/sys/kernel/random/boot_id", 128));
  HostInfo info;
  info.hostname = names.nodename;
  info.boot_id = Trim(boot_id);
  info.os = "linux";
  info.architecture = GoArchitecture(names.machine);
  info.kernel_version = names.release;
  info.page_size_bytes = ::sysconf(_SC_PAGESIZE);
  info.cpus = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  info.memory_bytes =
      SaturatingMul(static_cast<int64_t>(memory.totalram), static_cast<int64_t>(memory.mem_unit));
  return info;
}

}  // namespace claw::host
