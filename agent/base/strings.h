#pragma once

// Text helpers that take std::string_view everywhere. (Debian builds abseil with a string_view of
// its own, so absl::StrCat and friends do not take the standard one.)

#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace claw {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

namespace internal {
template <typename T>
decltype(auto) CatPart(const T& part) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return ToAbsl(part);
  } else {
    return (part);
  }
}
}  // namespace internal

// The parts put together: strings, numbers, bools.
template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  return absl::StrCat(internal::CatPart(parts)...);
}

// The pieces between separators; empty pieces are left out if `skip_empty`. Views into `text`.
std::vector<std::string_view> Split(std::string_view text, char separator, bool skip_empty = false);

// Without white space at both ends. A view into `text`.
std::string_view Trim(std::string_view text);

std::string Join(const std::vector<std::string>& parts, std::string_view separator);

// The whole of `text` as a decimal number; false if it is anything else or does not fit.
bool ParseInt(std::string_view text, int64_t* value);

}  // namespace claw
