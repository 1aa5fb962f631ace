#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace claw::drivers {

enum class SeccompLevel {
  // What container engines allow without added capabilities, less what reaches for the kernel's
  // rarely used parts.
  kContainer,
  // On top of that, what code that nobody trusts has no need of: see
  // seccomp_calls.cc, and seccomp.cc for what depends on arguments.
  kHardened,
};

// The seccomp section of an OCI config for a container: what is not named is refused with EPERM,
// clone3 with ENOSYS (so that C libraries fall back to clone, whose flags can be looked at). New
// namespaces are refused.
nlohmann::json SeccompProfile(const std::string& architecture, SeccompLevel level);

// The calls that may be made with any arguments (seccomp_calls.cc).
std::vector<std::string> AllowedCalls(SeccompLevel level);

}  // namespace claw::drivers
