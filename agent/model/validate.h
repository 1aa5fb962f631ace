#pragma once

// What the checks of requests share. Every error is INVALID_ARGUMENT with the field as its
// constraint.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "agent/base/status.h"

namespace claw {

// "FIELD WHY".
Status BadValue(std::string_view field, std::string_view why);

// A string that goes to the kernel and to a terminal: UTF-8, no NUL, at most so many bytes.
Status ValidateText(std::string_view field, std::string_view text, size_t max_bytes);

Status ValidateRange(std::string_view field, int64_t value, int64_t low, int64_t high,
                     std::string_view unit);

// At most 64; keys of 1 to 253 bytes, values of up to 1024.
Status ValidateLabels(const std::map<std::string, std::string>& labels,
                      std::string_view field = "labels");

}  // namespace claw
