#pragma once

#include <nlohmann/json.hpp>

namespace claw::drivers {

// The seccomp section of an OCI config for a container: what is not named is refused with EPERM,
// clone3 with ENOSYS (so that C libraries fall back to clone, whose flags can be looked at). New
// user namespaces are refused. The set of calls follows what container engines allow without added
// capabilities.
nlohmann::json SeccompProfile(const std::string& architecture);

}  // namespace claw::drivers
