#pragma once

#include <string>

#include "tests/integration/network/world.h"

namespace claw::test {

// What is left in the kernel and on disk of sandboxes, but for rules. Empty: nothing.
std::string Leftovers(const World& world);

// The tables, but for what counts.
std::string Rules();

}  // namespace claw::test
