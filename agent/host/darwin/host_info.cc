#include "agent/host/host_info.h"

#include <sys/sysctl.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "agent/base/strings.h"
#include "agent/host/darwin/sysctls.h"

namespace claw::host {
namespace {

StatusOr<std::string> SysctlText(const char* name) {
  std::array<char, 256> value{};
  size_t size = value.size();
  if (::sysctlbyname(name, value.data(), &size, nullptr, 0) != 0) return ErrnoError(errno, name);
  return std::string(value.data());
}

template <typename T>
StatusOr<T> SysctlNumber(const char* name) {
  T value{};
  size_t size = sizeof(value);
  if (::sysctlbyname(name, &value, &size, nullptr, 0) != 0) return ErrnoError(errno, name);
  return value;
}

}  // namespace

StatusOr<HostInfo> ReadHostInfo() {
  HostInfo info;
  ASSIGN_OR_RETURN(info.hostname, SysctlText("kern.hostname"));
  // A new identifier for each boot.
  ASSIGN_OR_RETURN(info.boot_id, SysctlText("kern.bootsessionuuid"));
  info.os = "darwin";
  ASSIGN_OR_RETURN(const std::string machine, SysctlText("hw.machine"));
  info.architecture = machine == "x86_64" ? "amd64" : machine;
  ASSIGN_OR_RETURN(info.kernel_version, SysctlText("kern.osrelease"));
  ASSIGN_OR_RETURN(info.page_size_bytes, SysctlNumber<int64_t>("hw.pagesize"));
  ASSIGN_OR_RETURN(info.cpus, SysctlNumber<int32_t>("hw.logicalcpu"));
  ASSIGN_OR_RETURN(info.memory_bytes, SysctlNumber<int64_t>("hw.memsize"));
  ASSIGN_OR_RETURN(const MacFacts facts, FactsOfMac(ReadMacSysctls()));
  info.hardware = Describe(facts);
  return info;
}

}  // namespace claw::host
