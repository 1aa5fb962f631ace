#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw::ctl {

// The words of a line, as base/words.h splits it. What would ask a shell for more ($ ` | & ; < >
// outside of quotes, and $ or ` inside of double ones) is an error that says to name the shell. At
// least one word.
StatusOr<std::vector<std::string>> SplitCommand(std::string_view line);

}  // namespace claw::ctl
