#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw {

// A line split into words as a shell would, but nothing is expanded and nothing means more than
// itself: white space separates; '…' takes everything as it is; in "…" a backslash takes the
// meaning from a quote, a backslash, $ and `; elsewhere from any character. INVALID_ARGUMENT for a
// quote that is not closed and for a backslash at the end.
StatusOr<std::vector<std::string>> SplitWords(std::string_view line);

// "a=b,c" -> {a, b}, {c, ""}: keys are unique and not empty, blanks around the commas are dropped.
// INVALID_ARGUMENT otherwise.
StatusOr<std::map<std::string, std::string>> ParsePairs(std::string_view text);

}  // namespace claw
