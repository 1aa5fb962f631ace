#pragma once

#include <string_view>

namespace claw::ctl {

// The project's version, from CMake.
extern const std::string_view kVersion;

}  // namespace claw::ctl
