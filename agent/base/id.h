#pragma once

#include <string>

namespace claw {

// `digits` lower-case hexadecimal digits from the kernel's random source (1 to 64).
// Thread-safe. Aborts if the kernel gives no randomness: there is nothing safe to do then.
std::string RandomHex(size_t digits);

}  // namespace claw
