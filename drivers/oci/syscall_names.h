#pragma once

#include <optional>
#include <string>

namespace claw::drivers {

// Linux's system calls on this machine's architecture, as far as the installed libseccomp knows
// them: the one that the runtimes filter with.

std::optional<int> SyscallNumber(const std::string& name);

// "pidfd_getfd"; "syscall_470" where nobody knows its name.
std::string SyscallName(int number);

}  // namespace claw::drivers
