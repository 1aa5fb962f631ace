#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "agent/base/status.h"

namespace claw {

// The names of an enum's values, as they are recorded and shown.
template <typename Enum, size_t N>
using EnumNames = std::array<std::pair<Enum, std::string_view>, N>;

template <typename Enum, size_t N>
std::string_view NameOf(const EnumNames<Enum, N>& table, Enum value) {
  for (const auto& [entry, name] : table) {
    if (entry == value) return name;
  }
  return "UNKNOWN";
}

template <typename Enum, size_t N>
StatusOr<Enum> ValueOf(const EnumNames<Enum, N>& table, std::string_view what,
                       std::string_view text) {
  for (const auto& [entry, name] : table) {
    if (name == text) return entry;
  }
  return InvalidArgument("'", text, "' is not a ", what);
}

}  // namespace claw
