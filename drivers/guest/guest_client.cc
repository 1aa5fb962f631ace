#include "drivers/guest/guest_client.h"

#include "claw/node/v1/common.pb.h"

namespace claw::drivers {
namespace {

constexpr std::chrono::milliseconds kRetryAfter = std::chrono::seconds(2);

Outcome OutcomeOf(pb::ErrorDetail::Outcome outcome) {
  switch (outcome) {
    case pb::ErrorDetail::REFUSED:
      return Outcome::kRefused;
    case pb::ErrorDetail::UNDONE:
      return Outcome::kUndone;
    default:
      return Outcome::kUnknown;
  }
}

ErrorDetail DetailIn(const grpc::Status& status) {
  pb::RpcStatus rpc;
  pb::ErrorDetail typed;
  if (!rpc.ParseFromString(status.error_details())) return {.reason = "GUEST_REFUSED"};
  for (const auto& any : rpc.details()) {
    if (!any.Is<pb::ErrorDetail>() || !any.UnpackTo(&typed)) continue;
    ErrorDetail detail{.reason = typed.reason(),
                       .constraint = typed.constraint(),
                       .needed = typed.needed(),
                       .available = typed.available(),
                       .retry_after = std::nullopt,
                       .outcome = OutcomeOf(typed.outcome())};
    if (typed.has_retry_after()) {
      detail.retry_after = std::chrono::seconds(typed.retry_after().seconds()) +
                           std::chrono::milliseconds(typed.retry_after().nanos() / 1'000'000);
    }
    return detail;
  }
  return {.reason = "GUEST_REFUSED"};
}

}  // namespace

Status FromGuest(const grpc::Status& status, std::string_view doing) {
  if (status.ok()) return absl::OkStatus();
  const auto code = static_cast<StatusCode>(status.error_code());
  // An agent that refuses for now says why; a channel that broke has no details.
  const bool silent = status.error_details().empty() &&
                      (code == StatusCode::kUnavailable || code == StatusCode::kDeadlineExceeded);
  if (silent) {
    return MakeError(
        StatusCode::kUnavailable,
        StrCat(doing, ": the guest's agent does not answer (", status.error_message(), ")"),
        {.reason = "GUEST_UNREACHABLE", .retry_after = kRetryAfter});
  }
  return MakeError(code, StrCat(doing, ": ", status.error_message()), DetailIn(status));
}

bool HasReason(const Status& status, std::string_view reason) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason == reason;
}

}  // namespace claw::drivers
