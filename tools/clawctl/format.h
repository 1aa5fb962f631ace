#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"

namespace claw::ctl {

// Text for terminals. What a tenant or a server chose is never trusted to be printable.

// The code point at the start of `text`, which is not empty. Length 0: it is not UTF-8.
struct CodePoint {
  char32_t value = 0;
  size_t length = 0;
};
CodePoint DecodeUtf8(std::string_view text);

// Makes control characters visible: "\n" becomes the two characters \n, ESC becomes \x1b. Also
// escaped are C1 controls, characters that change the direction of writing, and bytes that are not
// UTF-8.
std::string EscapeControls(std::string_view text);

// How many columns a terminal gives to escaped text: one for each code point.
size_t DisplayWidth(std::string_view text);

// "12s", "3m12s", "5h3m", "2d4h": the two largest units. Negative ages count as 0.
std::string FormatAge(std::chrono::seconds age);

// "500ms", "10s", "1h30m", "2m"; a number alone is seconds. INVALID_ARGUMENT for anything else.
StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text);

// A point in time: an RFC 3339 time, or a duration before `now`.
StatusOr<Time> ParseSince(std::string_view text, Time now);

// "0.5" as 500. INVALID_ARGUMENT if it is no number, negative, or finer than a thousandth.
StatusOr<int64_t> ParseCpuMillis(std::string_view text);

bool Contains(std::string_view text, std::string_view part);

// `text` without `prefix`, if it starts with it.
std::string_view StripPrefix(std::string_view text, std::string_view prefix);

// The part behind the collection: "0a1b…" of "sandboxes/0a1b…".
std::string_view BareName(std::string_view resource_name);

// The first twelve characters of an id or of a digest's hexadecimal digits.
std::string ShortId(std::string_view id);

// "running" of "SANDBOX_STATE_RUNNING" and the prefix "SANDBOX_STATE_".
std::string EnumLabel(std::string_view value_name, std::string_view prefix);

// "85 ms", "1.24 s", "2m05s".
std::string FormatSpan(std::chrono::microseconds span);

// "NAME=VALUE" as its two halves. INVALID_ARGUMENT without a name or without '='.
StatusOr<std::pair<std::string, std::string>> ParsePair(std::string_view text);

// Words with a blank between them, or "-" for none.
std::string JoinWords(const std::vector<std::string>& words);

}  // namespace claw::ctl
