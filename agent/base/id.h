#pragma once

#include <string>

namespace claw {

// `digits` lower-case hexadecimal digits from the kernel's random source (1 to 64).
// Thread-safe. Aborts if the kernel gives no randomness: there is nothing safe to do then.
std::string RandomHex(size_t digits);

// RFC 4122, version 4: "3b241101-e2bb-4255-8caf-4136c566a962". As RandomHex.
std::string RandomUuid();

}  // namespace claw
