#include "agent/base/status.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

namespace claw {
namespace {

constexpr absl::string_view kDetailUrl = "claw.node.v1/ErrorDetail+json";

bool IsEmpty(const ErrorDetail& detail) { return detail == ErrorDetail{}; }

StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
      return StatusCode::kNotFound;
    case EEXIST:
      return StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
      return StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return StatusCode::kResourceExhausted;
    case EAGAIN:
      return StatusCode::kUnavailable;
    default:
      return StatusCode::kInternal;
  }
}

std::string_view ReasonOf(int error) {
  switch (error) {
    case ENOENT:
      return "NOT_FOUND";
    case EEXIST:
      return "ALREADY_EXISTS";
    case EACCES:
    case EPERM:
      return "PERMISSION_DENIED";
    case ENOSPC:
    case EDQUOT:
      return "DISK_FULL";
    case EMFILE:
    case ENFILE:
      return "TOO_MANY_FILES";
    case ENOMEM:
      return "OUT_OF_MEMORY";
    case EAGAIN:
      return "UNAVAILABLE";
    default:
      return "INTERNAL";
  }
}

}  // namespace

Status MakeError(StatusCode code, std::string_view message, const ErrorDetail& detail) {
  Status status(code, ToAbsl(message));
  if (IsEmpty(detail)) return status;
  nlohmann::json json = {{"reason", detail.reason},
                         {"constraint", detail.constraint},
                         {"needed", detail.needed},
                         {"available", detail.available}};
  if (detail.retry_after) json["retry_after_ms"] = detail.retry_after->count();
  if (detail.outcome != Outcome::kUnknown) json["outcome"] = static_cast<int>(detail.outcome);
  status.SetPayload(
      kDetailUrl, absl::Cord(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  return status;
}

Status ErrnoError(int error, std::string_view doing) {
  return MakeError(CodeOf(error), StrCat(doing, ": ", std::strerror(error)),
                   {.reason = std::string(ReasonOf(error))});
}

Status Annotate(const Status& status, std::string_view doing) {
  if (status.ok()) return status;
  Status annotated(status.code(), StrCat(doing, ": ", ToStd(status.message())));
  status.ForEachPayload([&annotated](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

Status WithOutcome(const Status& status, Outcome outcome) {
  if (status.ok()) return status;
  ErrorDetail detail = GetErrorDetail(status).value_or(ErrorDetail{});
  detail.outcome = outcome;
  Status changed = MakeError(status.code(), ToStd(status.message()), detail);
  status.ForEachPayload([&changed](absl::string_view url, const absl::Cord& payload) {
    if (url != kDetailUrl) changed.SetPayload(url, payload);
  });
  return changed;
}

std::optional<ErrorDetail> GetErrorDetail(const Status& status) {
  const auto payload = status.GetPayload(kDetailUrl);
  if (!payload) return std::nullopt;
  const auto json = nlohmann::json::parse(std::string(*payload), nullptr, false);
  if (!json.is_object()) return std::nullopt;
  ErrorDetail detail;
  for (const auto& [key, field] :
       {std::pair("reason", &detail.reason), std::pair("constraint", &detail.constraint),
        std::pair("needed", &detail.needed), std::pair("available", &detail.available)}) {
    const auto it = json.find(key);
    if (it != json.end() && it->is_string()) *field = it->get<std::string>();
  }
  const auto retry = json.find("retry_after_ms");
  if (retry != json.end() && retry->is_number_integer()) {
    detail.retry_after = std::chrono::milliseconds(retry->get<int64_t>());
  }
  const auto outcome = json.find("outcome");
  if (outcome != json.end() && *outcome == static_cast<int>(Outcome::kRefused)) {
    detail.outcome = Outcome::kRefused;
  }
  if (outcome != json.end() && *outcome == static_cast<int>(Outcome::kUndone)) {
    detail.outcome = Outcome::kUndone;
  }
  return detail;
}

std::string ToLogString(const Status& status) {
  if (status.ok()) return "OK";
  return StrCat(absl::StatusCodeToString(status.code()), ": ", status.message());
}

}  // namespace claw
