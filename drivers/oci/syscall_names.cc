#include "drivers/oci/syscall_names.h"

#include <seccomp.h>

#include <cstdlib>
#include <memory>

#include "agent/base/strings.h"

namespace claw::drivers {

std::optional<int> SyscallNumber(const std::string& name) {
  const int number = seccomp_syscall_resolve_name(name.c_str());
  // Below zero are libseccomp's own numbers for calls that other architectures have.
  if (number < 0) return std::nullopt;
  return number;
}

std::string SyscallName(int number) {
  const std::unique_ptr<char, decltype(&std::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), &std::free);
  return name ? std::string(name.get()) : StrCat("syscall_", number);
}

}  // namespace claw::drivers
