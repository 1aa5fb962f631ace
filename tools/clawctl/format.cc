#include "tools/clawctl/format.h"

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/time/time.h>

#include <algorithm>
#include <cmath>

namespace claw::ctl {
namespace {

// Invisible, or able to move text about: C1, line separators, marks and overrides of direction.
bool IsDangerous(char32_t value) {
  return (value >= 0x80 && value < 0xa0) || (value >= 0x200b && value <= 0x200f) ||
         (value >= 0x2028 && value <= 0x202e) || (value >= 0x2066 && value <= 0x2069) ||
         value == 0xfeff;
}

void AppendControl(unsigned char c, std::string& out) {
  switch (c) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned>(c));
  }
}

Status BadDuration(std::string_view text) {
  return InvalidArgument("'", text, "' is not a duration (try 500ms, 10s, 5m or 1h30m)");
}

// Milliseconds in a unit; 0 for an unknown one.
double UnitMillis(std::string_view unit) {
  if (unit == "ms") return 1;
  if (unit == "s" || unit.empty()) return 1e3;
  if (unit == "m") return 60e3;
  if (unit == "h") return 3600e3;
  if (unit == "d") return 86400e3;
  return 0;
}

}  // namespace

CodePoint DecodeUtf8(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {};
  char32_t value = lead & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0U) != 0x80) return {};
    value = (value << 6U) | (next & 0x3fU);
  }
  static constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < kSmallest[length] || value > 0x10ffff || surrogate) return {};
  return {value, length};
}

std::string EscapeControls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint point = DecodeUtf8(text);
    if (point.length == 0 || point.value < 0x20 || point.value == 0x7f) {
      AppendControl(static_cast<unsigned char>(text[0]), out);
    } else if (IsDangerous(point.value)) {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned>(point.value));
    } else {
      out.append(text.substr(0, point.length));
    }
    text.remove_prefix(std::max<size_t>(point.length, 1));
  }
  return out;
}

size_t DisplayWidth(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80;
  }));
}

std::string FormatAge(std::chrono::seconds age) {
  const int64_t total = std::max<int64_t>(age.count(), 0);
  if (total < 60) return absl::StrFormat("%ds", total);
  if (total < 3600) return absl::StrFormat("%dm%ds", total / 60, total % 60);
  if (total < 86400) return absl::StrFormat("%dh%dm", total / 3600, total / 60 % 60);
  return absl::StrFormat("%dd%dh", total / 86400, total / 3600 % 24);
}

StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  constexpr double kMostMillis = 86400e3 * 36500;
  std::string_view rest = text;
  double millis = 0;
  if (rest.empty()) return BadDuration(text);
  while (!rest.empty()) {
    const size_t digits = std::min(rest.find_first_not_of("0123456789."), rest.size());
    double amount = 0;
    if (digits == 0 || !absl::SimpleAtod(ToAbsl(rest.substr(0, digits)), &amount))
      return BadDuration(text);
    rest.remove_prefix(digits);
    const size_t letters = std::min(rest.find_first_of("0123456789."), rest.size());
    const double unit = UnitMillis(rest.substr(0, letters));
    if (unit == 0) return BadDuration(text);
    rest.remove_prefix(letters);
    millis += amount * unit;
  }
  if (!(millis <= kMostMillis)) return BadDuration(text);
  return std::chrono::milliseconds(std::llround(millis));
}

StatusOr<Time> ParseSince(std::string_view text, Time now) {
  absl::Time parsed;
  if (absl::ParseTime(absl::RFC3339_full, ToAbsl(text), &parsed, nullptr)) {
    return FromMicros(absl::ToUnixMicros(parsed));
  }
  const auto age = ParseDuration(text);
  if (age.ok()) return now - *age;
  return InvalidArgument("'", text,
                         "' is neither a time nor a duration (try 10m or 2026-01-31T12:00:00Z)");
}

StatusOr<int64_t> ParseCpuMillis(std::string_view text) {
  double cpus = 0;
  if (!absl::SimpleAtod(ToAbsl(text), &cpus) || !(cpus >= 0) || cpus > 1e6) {
    return InvalidArgument("'", text, "' is not a number of CPUs (try 0.5 or 2)");
  }
  const double millis = cpus * 1000;
  if (std::abs(millis - std::round(millis)) > 1e-6) {
    return InvalidArgument("'", text, "' is finer than a thousandth of a CPU");
  }
  return std::llround(millis);
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string_view StripPrefix(std::string_view text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

std::string_view BareName(std::string_view resource_name) {
  const size_t slash = resource_name.find('/');
  return slash == std::string_view::npos ? resource_name : resource_name.substr(slash + 1);
}

std::string ShortId(std::string_view id) {
  return std::string(StripPrefix(id, "sha256:").substr(0, 12));
}

std::string EnumLabel(std::string_view value_name, std::string_view prefix) {
  std::string label = absl::AsciiStrToLower(ToAbsl(StripPrefix(value_name, prefix)));
  std::replace(label.begin(), label.end(), '_', '-');
  return label == "unspecified" ? "-" : label;
}

std::string FormatSpan(std::chrono::microseconds span) {
  const int64_t micros = std::max<int64_t>(span.count(), 0);
  if (micros < 1000) return absl::StrFormat("%.1f ms", static_cast<double>(micros) / 1e3);
  if (micros < 1'000'000) return absl::StrFormat("%d ms", micros / 1000);
  if (micros < 60'000'000) return absl::StrFormat("%.2f s", static_cast<double>(micros) / 1e6);
  return absl::StrFormat("%dm%02ds", micros / 60'000'000, micros / 1'000'000 % 60);
}

StatusOr<std::pair<std::string, std::string>> ParsePair(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return InvalidArgument("'", text, "' is not NAME=VALUE");
  }
  return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

std::string JoinWords(const std::vector<std::string>& words) {
  return words.empty() ? "-" : absl::StrJoin(words, " ");
}

}  // namespace claw::ctl
