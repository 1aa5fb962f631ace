#include "agent/host/darwin/sysctls.h"

#include <mach/mach.h>
#include <sys/sysctl.h>

#include <algorithm>

#include "agent/base/strings.h"

namespace claw::host {
namespace {

// Texts end with a NUL; numbers are 4 or 8 bytes wide. All texts that are asked for are longer than
// that, or are told by the name.
bool IsText(std::string_view name) {
  return name == "hw.model" || name == "machdep.cpu.brand_string" ||
         name == "kern.osproductversion";
}

}  // namespace

Sysctls ReadMacSysctls() {
  Sysctls found;
  for (const std::string_view name : kMacSysctls) {
    const std::string key(name);
    std::array<char, 256> bytes{};
    size_t size = bytes.size() - 1;
    if (::sysctlbyname(key.c_str(), bytes.data(), &size, nullptr, 0) != 0) continue;
    if (IsText(name)) {
      found[key] = std::string(bytes.data());
    } else if (size == sizeof(int32_t)) {
      int32_t number = 0;
      std::copy_n(bytes.data(), size, reinterpret_cast<char*>(&number));
      found[key] = StrCat(number);
    } else if (size == sizeof(int64_t)) {
      int64_t number = 0;
      std::copy_n(bytes.data(), size, reinterpret_cast<char*>(&number));
      found[key] = StrCat(number);
    }
  }
  return found;
}

StatusOr<MacPages> ReadMacPages() {
  vm_statistics64_data_t statistics{};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  const mach_port_t host = ::mach_host_self();
  const kern_return_t result = ::host_statistics64(
      host, HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&statistics), &count);
  ::mach_port_deallocate(::mach_task_self(), host);
  if (result != KERN_SUCCESS) return Internal("host_statistics64 answered ", result);
  return MacPages{.free = statistics.free_count,
                  .speculative = statistics.speculative_count,
                  .purgeable = statistics.purgeable_count,
                  .file_backed = statistics.external_page_count};
}

}  // namespace claw::host
