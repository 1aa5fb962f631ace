#pragma once

#include <string_view>

namespace claw {

// "ENOSYS" for 38: Linux's name for a number of Linux's, on whatever system this runs. The same on
// x86-64 and arm64. Empty for 0 and for what is none.
std::string_view LinuxErrnoName(int number);

}  // namespace claw
