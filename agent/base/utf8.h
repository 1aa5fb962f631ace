#pragma once

#include <string_view>

namespace claw {

// Whether the bytes are well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, up to
// U+10FFFF).
bool IsUtf8(std::string_view text);

}  // namespace claw
