#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw::ctl {

// The words of a line as a shell would split it: blanks separate, '…', "…" and \ quote. Nothing is
// expanded and nothing redirected, so what would ask a shell for that ($ ` | & ; < > outside of
// quotes, and $ or ` inside of double ones) is an error that says to name the shell. At least one
// word.
StatusOr<std::vector<std::string>> SplitWords(std::string_view line);

}  // namespace claw::ctl
