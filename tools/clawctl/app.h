#pragma once

#include <string>
#include <vector>

#include "agent/base/clock.h"
#include "tools/clawctl/io.h"

namespace claw::ctl {

// clawctl from words to exit code; `args` is argv without the program's name. Reads CLAWLET_SOCKET
// and NO_COLOR from the environment.
int RunClawctl(const std::vector<std::string>& args, Io io, const Clock& clock);

}  // namespace claw::ctl
