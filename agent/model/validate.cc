#include "agent/model/validate.h"

#include "agent/base/utf8.h"

namespace claw {

Status BadValue(std::string_view field, std::string_view why) {
  return MakeError(StatusCode::kInvalidArgument, StrCat(field, " ", why),
                   {.reason = "INVALID_ARGUMENT",
                    .constraint = std::string(field),
                    .outcome = Outcome::kRefused});
}

Status ValidateText(std::string_view field, std::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return BadValue(field, StrCat("is longer than ", max_bytes, " bytes"));
  }
  if (text.find('\0') != std::string_view::npos) return BadValue(field, "contains a NUL byte");
  if (!IsUtf8(text)) return BadValue(field, "is not UTF-8");
  return absl::OkStatus();
}

Status ValidateRange(std::string_view field, int64_t value, int64_t low, int64_t high,
                     std::string_view unit) {
  if (value >= low && value <= high) return absl::OkStatus();
  return MakeError(
      StatusCode::kInvalidArgument,
      StrCat(field, " is ", value, unit, "; it has to lie between ", low, " and ", high, unit),
      {.reason = "OUT_OF_BOUNDS",
       .constraint = std::string(field),
       .needed = StrCat(low, " to ", high, unit),
       .available = StrCat(value, unit)});
}

Status ValidateLabels(const std::map<std::string, std::string>& labels, std::string_view field) {
  if (labels.size() > 64) return BadValue(field, "has more than 64 entries");
  for (const auto& [key, value] : labels) {
    if (key.empty()) return BadValue(field, "has an empty key");
    RETURN_IF_ERROR(ValidateText(field, key, 253));
    RETURN_IF_ERROR(ValidateText(field, value, 1024));
  }
  return absl::OkStatus();
}

}  // namespace claw
