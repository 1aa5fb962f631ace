#pragma once

// The one place where errors are made. The code says what the caller should do, the typed detail
// says why, and the message is the chain of what was being done, outermost first.

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/strings.h"

namespace claw {

using absl::Status;
using absl::StatusCode;
using absl::StatusOr;

// What an error leaves behind.
enum class Outcome {
  kUnknown,  // ask again with the same request id
  kRefused,  // nothing was done: another place, or another time, may take it
  kUndone,   // it was begun, and nothing of it is left
};

// Why something was refused, for machines. Every field is optional; strings carry their unit
// ("536870912 bytes") so that a person can read them too.
struct ErrorDetail {
  std::string reason{};      // UPPER_SNAKE_CASE, stable: "MEMORY_EXHAUSTED", "RUNTIME_MISSING", …
  std::string constraint{};  // the field or the limit that was not met: "resources.workload_bytes"
  std::string needed{};
  std::string available{};
  std::optional<std::chrono::milliseconds> retry_after{};  // absent: a retry alone does not help
  Outcome outcome = Outcome::kUnknown;

  bool operator==(const ErrorDetail&) const = default;
};

Status MakeError(StatusCode code, std::string_view message, const ErrorDetail& detail = {});

template <typename... Parts>
Status InvalidArgument(const Parts&... parts) {
  return MakeError(StatusCode::kInvalidArgument, ::claw::StrCat(parts...),
                   {.reason = "INVALID_ARGUMENT"});
}
template <typename... Parts>
Status NotFound(const Parts&... parts) {
  return MakeError(StatusCode::kNotFound, ::claw::StrCat(parts...), {.reason = "NOT_FOUND"});
}
template <typename... Parts>
Status AlreadyExists(const Parts&... parts) {
  return MakeError(StatusCode::kAlreadyExists, ::claw::StrCat(parts...),
                   {.reason = "ALREADY_EXISTS"});
}
template <typename... Parts>
Status FailedPrecondition(const Parts&... parts) {
  return MakeError(StatusCode::kFailedPrecondition, ::claw::StrCat(parts...),
                   {.reason = "FAILED_PRECONDITION"});
}
template <typename... Parts>
Status Unavailable(const Parts&... parts) {
  return MakeError(StatusCode::kUnavailable, ::claw::StrCat(parts...),
                   {.reason = "UNAVAILABLE", .retry_after = std::chrono::milliseconds(1000)});
}
template <typename... Parts>
Status Unimplemented(const Parts&... parts) {
  return MakeError(StatusCode::kUnimplemented, ::claw::StrCat(parts...),
                   {.reason = "UNIMPLEMENTED"});
}
template <typename... Parts>
Status Internal(const Parts&... parts) {
  return MakeError(StatusCode::kInternal, ::claw::StrCat(parts...), {.reason = "INTERNAL"});
}
template <typename... Parts>
Status DataLoss(const Parts&... parts) {
  return MakeError(StatusCode::kDataLoss, ::claw::StrCat(parts...), {.reason = "DATA_LOSS"});
}

// An errno as a status: ENOENT is NOT_FOUND, EEXIST is ALREADY_EXISTS, EACCES and EPERM are
// PERMISSION_DENIED, ENOSPC, EDQUOT, EMFILE and ENOMEM are RESOURCE_EXHAUSTED, EAGAIN is
// UNAVAILABLE, the rest INTERNAL.
Status ErrnoError(int error, std::string_view doing);

// The same error with "doing: " put before its message. Code and detail are kept; OK stays OK.
Status Annotate(const Status& status, std::string_view doing);

// The same error, and what it leaves behind; OK stays OK.
Status WithOutcome(const Status& status, Outcome outcome);

// The typed detail of an error, if it carries one.
std::optional<ErrorDetail> GetErrorDetail(const Status& status);

// "NOT_FOUND: no such image …", without payloads: for logs and records.
std::string ToLogString(const Status& status);

}  // namespace claw

#define CLAW_CONCAT_INNER(a, b) a##b
#define CLAW_CONCAT(a, b) CLAW_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                                                       \
  do {                                                                              \
    if (::claw::Status claw_status = (expr); !claw_status.ok()) return claw_status; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL(CLAW_CONCAT(claw_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                          \
  if (!tmp.ok()) return tmp.status();         \
  lhs = std::move(tmp).value()

// The same for coroutines.
#define CO_RETURN_IF_ERROR(expr)                                                       \
  do {                                                                                 \
    if (::claw::Status claw_status = (expr); !claw_status.ok()) co_return claw_status; \
  } while (false)

#define CO_ASSIGN_OR_RETURN(lhs, expr) \
  CO_ASSIGN_OR_RETURN_IMPL(CLAW_CONCAT(claw_or_, __LINE__), lhs, expr)
#define CO_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                             \
  if (!tmp.ok()) co_return tmp.status();         \
  lhs = std::move(tmp).value()
