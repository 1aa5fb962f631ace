#pragma once

#include "tests/tidy/rules.h"

namespace claw::tidy {

// GCC 12 miscompiles some forms around co_await (see agent/lifecycle/README.md): it stands alone,
// never in a condition or beside && and ||, and neither a closure nor a temporary in braces is
// written among its arguments.
Findings CheckCoroutines(const File& file);

}  // namespace claw::tidy
