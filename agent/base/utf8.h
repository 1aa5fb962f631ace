#pragma once

#include <string>
#include <string_view>

namespace claw {

// Whether the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, up to
// U+10FFFF).
bool IsUtf8(std::string_view text);

// The text with U+FFFD for each byte that belongs to no well-formed sequence, and of that the last
// max_bytes at most.
std::string ToUtf8(std::string_view text, size_t max_bytes);

}  // namespace claw
