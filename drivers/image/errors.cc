#include "drivers/image/errors.h"

#include <absl/strings/ascii.h>

namespace claw::image {
namespace {

constexpr std::chrono::milliseconds kRegistryRetry = std::chrono::seconds(10);
constexpr std::chrono::milliseconds kDiskRetry = std::chrono::seconds(60);

Status Invalid(std::string_view reason, std::string_view message) {
  return MakeError(StatusCode::kInvalidArgument, message, {.reason = std::string(reason)});
}

}  // namespace

Status BadReference(std::string_view message) { return Invalid("BAD_REFERENCE", message); }
Status CorruptImage(std::string_view message) { return Invalid("CORRUPT_IMAGE", message); }
Status MaliciousLayer(std::string_view message) { return Invalid("MALICIOUS_LAYER", message); }

Status UnsupportedArchitecture(std::string_view has, std::string_view wanted) {
  const std::string shown = Printable(has, 200);
  return MakeError(StatusCode::kInvalidArgument,
                   StrCat("the image is for ", shown, ", not for linux/", wanted),
                   {.reason = "UNSUPPORTED_ARCHITECTURE",
                    .constraint = "architecture",
                    .needed = shown,
                    .available = StrCat("linux/", wanted)});
}

Status ImageNotFound(std::string_view message) {
  return MakeError(StatusCode::kNotFound, message, {.reason = "IMAGE_NOT_FOUND"});
}

Status RegistryUnreachable(std::string_view message) {
  return MakeError(StatusCode::kUnavailable, message,
                   {.reason = "REGISTRY_UNREACHABLE", .retry_after = kRegistryRetry});
}

Status RegistryDenied(std::string_view message) {
  return MakeError(StatusCode::kPermissionDenied, message, {.reason = "REGISTRY_DENIED"});
}

Status SignatureRejected(std::string_view message) {
  return MakeError(StatusCode::kPermissionDenied, message, {.reason = "SIGNATURE_REJECTED"});
}

Status ImageTooLarge(std::string_view constraint, int64_t needed, int64_t available,
                     std::string_view unit) {
  return MakeError(StatusCode::kResourceExhausted,
                   StrCat("the image is too large: at least ", needed, " ", unit, ", ", constraint,
                          " is ", available),
                   {.reason = "IMAGE_TOO_LARGE",
                    .constraint = std::string(constraint),
                    .needed = StrCat(needed, " ", unit),
                    .available = StrCat(available, " ", unit)});
}

Status DiskFull(std::string_view message, int64_t needed_bytes, int64_t available_bytes) {
  return MakeError(StatusCode::kResourceExhausted, message,
                   {.reason = "DISK_FULL",
                    .constraint = "disk",
                    .needed = StrCat(needed_bytes, " bytes"),
                    .available = StrCat(available_bytes, " bytes"),
                    .retry_after = kDiskRetry});
}

Status ExplainMissingProgram(const Status& status, std::string_view program,
                             std::string_view package) {
  const auto detail = GetErrorDetail(status);
  if (!detail || detail->reason != "PROGRAM_MISSING") return status;
  return MakeError(StatusCode::kFailedPrecondition,
                   StrCat(program, " is not installed; Debian package: ", package),
                   {.reason = "PROGRAM_MISSING",
                    .constraint = std::string(program),
                    .needed = StrCat("Debian package ", package)});
}

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string Printable(std::string_view text, size_t limit) {
  const bool cut = text.size() > limit;
  std::string printable(text.substr(0, limit));
  for (char& c : printable) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return cut ? printable + "..." : printable;
}

}  // namespace claw::image
