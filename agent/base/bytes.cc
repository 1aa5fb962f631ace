#include "agent/base/bytes.h"

#include <absl/strings/charconv.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

namespace claw {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

// The factor of a unit in lower case; 0 for an unknown one.
int64_t UnitFactor(std::string_view unit) {
  static constexpr std::array<std::pair<std::string_view, int64_t>, 18> kUnits = {{
      {"", 1},
      {"b", 1},
      {"k", 1000},
      {"kb", 1000},
      {"ki", kKiB},
      {"kib", kKiB},
      {"m", 1000 * 1000},
      {"mb", 1000 * 1000},
      {"mi", kMiB},
      {"mib", kMiB},
      {"g", 1000LL * 1000 * 1000},
      {"gb", 1000LL * 1000 * 1000},
      {"gi", kGiB},
      {"gib", kGiB},
      {"t", 1000LL * 1000 * 1000 * 1000},
      {"tb", 1000LL * 1000 * 1000 * 1000},
      {"ti", kGiB * 1024},
      {"tib", kGiB * 1024},
  }};
  for (const auto& [name, factor] : kUnits) {
    if (name == unit) return factor;
  }
  return 0;
}

std::string ToLower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

Status BadBytes(std::string_view text, std::string_view why) {
  return InvalidArgument("'", text, "' is not an amount of bytes: ", why,
                         " (try 512Mi, 1.5Gi or 67108864)");
}

}  // namespace

StatusOr<int64_t> ParseBytes(std::string_view text) {
  const std::string_view trimmed = Trim(text);
  const size_t digits = trimmed.find_first_not_of("0123456789.");
  const std::string_view number = trimmed.substr(0, digits);
  const std::string unit =
      ToLower(Trim(digits == std::string_view::npos ? "" : trimmed.substr(digits)));
  if (number.empty()) return BadBytes(text, "it does not start with a number");
  const int64_t factor = UnitFactor(unit);
  if (factor == 0) return BadBytes(text, StrCat("the unit '", unit, "' is unknown"));

  if (number.find('.') == std::string_view::npos) {
    int64_t whole = 0;
    if (!ParseInt(number, &whole) || (whole != 0 && whole > kMax / factor)) {
      return BadBytes(text, "it is larger than 2^63 - 1");
    }
    return whole * factor;
  }
  double value = 0;
  const auto [end, error] = absl::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc() || end != number.data() + number.size())
    return BadBytes(text, "the number cannot be read");
  const double bytes = value * static_cast<double>(factor);
  if (!(bytes < static_cast<double>(kMax))) return BadBytes(text, "it is larger than 2^63 - 1");
  return static_cast<int64_t>(std::llround(bytes));
}

std::string FormatBytes(int64_t bytes) {
  static constexpr std::array<std::string_view, 7> kNames = {"B",   "KiB", "MiB", "GiB",
                                                             "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::abs(value) >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  const bool whole = unit == 0 || std::abs(value - std::round(value)) < 0.05;
  std::array<char, 32> number{};
  std::snprintf(number.data(), number.size(), whole ? "%.0f" : "%.1f", value);
  return StrCat(number.data(), " ", kNames[unit]);
}

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return b > 0 ? kMax : kMin;
}

int64_t SaturatingSub(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return b < 0 ? kMax : kMin;
}

int64_t SaturatingMul(int64_t a, int64_t b) {
  int64_t product = 0;
  if (!__builtin_mul_overflow(a, b, &product)) return product;
  return (a < 0) == (b < 0) ? kMax : kMin;
}

}  // namespace claw
