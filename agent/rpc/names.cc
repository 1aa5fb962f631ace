#include "agent/rpc/names.h"

#include <algorithm>

#include "agent/model/tenant.h"

namespace claw::rpc {
namespace {

constexpr size_t kMaxRequestIdBytes = 128;
constexpr size_t kMaxImageNameBytes = 512;
constexpr std::string_view kLinux = "linux/";
constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
constexpr int32_t kNanosPerSecond = 1'000'000'000;
constexpr int32_t kNanosPerMilli = 1'000'000;
// 9999-12-31T23:59:59Z, where protobuf's Timestamp ends; it starts in the year 1.
constexpr int64_t kMaxTimestampSeconds = 253'402'300'799;
constexpr int64_t kMinTimestampSeconds = -62'135'596'800;

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// For an error: what came, if it can be shown.
std::string Quote(std::string_view text) {
  if (text.empty()) return "empty";
  if (!IsPrintable(text) || text.size() > 100) return "something else";
  return StrCat("'", text, "'");
}

StatusOr<std::string> StripCollection(std::string_view field, std::string_view collection,
                                      std::string_view example, std::string_view name) {
  if (!name.starts_with(collection) || name.size() == collection.size()) {
    return BadField(
        field, StrCat("is ", Quote(name), " but has to look like '", collection, example, "'"));
  }
  return std::string(name.substr(collection.size()));
}

}  // namespace

Status BadField(std::string_view field, std::string_view why) {
  return MakeError(
      StatusCode::kInvalidArgument, StrCat(field, " ", why),
      {.reason = "BAD_FIELD", .constraint = std::string(field), .outcome = Outcome::kRefused});
}

StatusOr<std::string> ParseSandboxName(std::string_view field, std::string_view name) {
  ASSIGN_OR_RETURN(std::string id, StripCollection(field, "sandboxes/", "ID", name));
  const bool legal = id.size() <= 63 && std::all_of(id.begin(), id.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                     });
  if (legal) return id;
  return BadField(field, StrCat("is ", Quote(name),
                                ": an id or a display name is 1 to 63 of a-z, 0-9 and '-'"));
}

StatusOr<std::string> ParseReservationName(std::string_view field, std::string_view name) {
  ASSIGN_OR_RETURN(std::string id, StripCollection(field, "reservations/", "ID", name));
  const bool legal = id.size() <= 63 && std::all_of(id.begin(), id.end(), [](char c) {
                       return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9');
                     });
  if (legal) return id;
  return BadField(field, StrCat("is ", Quote(name), ": an id is of 0-9 and a-f"));
}

StatusOr<std::string> ParseTenantName(std::string_view field, std::string_view name) {
  ASSIGN_OR_RETURN(std::string tenant, StripCollection(field, "tenants/", "NAME", name));
  RETURN_IF_ERROR(ValidateName(field, tenant));
  return tenant;
}

StatusOr<std::string> ParseTenantFilter(std::string_view field, std::string_view name) {
  if (name.empty()) return std::string();
  return ParseTenantName(field, name);
}

StatusOr<std::string> ParseNetworkPolicyName(std::string_view field, std::string_view name) {
  ASSIGN_OR_RETURN(std::string policy, StripCollection(field, "networkPolicies/", "NAME", name));
  RETURN_IF_ERROR(ValidateName(field, policy));
  return policy;
}

StatusOr<std::string> ParseVmName(std::string_view field, std::string_view name) {
  ASSIGN_OR_RETURN(std::string vm, StripCollection(field, "vms/", "NAME", name));
  RETURN_IF_ERROR(ValidateName(field, vm));
  return vm;
}

StatusOr<std::string> ParseImageName(std::string_view field, std::string_view name) {
  ASSIGN_OR_RETURN(std::string image, StripCollection(field, "images/", "sha256:...", name));
  if (image.size() <= kMaxImageNameBytes && IsPrintable(image)) return image;
  return BadField(field, StrCat("is not a digest or reference of at most ", kMaxImageNameBytes,
                                " printable bytes"));
}

StatusOr<std::vector<std::string>> ParsePlatforms(
    std::string_view field, const google::protobuf::RepeatedPtrField<std::string>& platforms) {
  std::vector<std::string> parsed;
  for (const std::string& platform : platforms) {
    std::string_view architecture = platform;
    if (architecture.starts_with(kLinux)) architecture.remove_prefix(kLinux.size());
    if (architecture != "amd64" && architecture != "arm64") {
      return BadField(field, StrCat("has ", Quote(platform),
                                    " in it; there are 'linux/amd64' and 'linux/arm64'"));
    }
    if (std::find(parsed.begin(), parsed.end(), architecture) == parsed.end()) {
      parsed.emplace_back(architecture);
    }
  }
  return parsed;
}

Status CheckRequestId(std::string_view request_id) {
  if (request_id.size() <= kMaxRequestIdBytes && IsPrintable(request_id)) return absl::OkStatus();
  return BadField("request_id",
                  StrCat("is not at most ", kMaxRequestIdBytes, " bytes of printable ASCII"));
}

StatusOr<int> ParsePageSize(int32_t page_size) {
  if (page_size < 0) return BadField("page_size", StrCat("is ", page_size, ", less than 0"));
  return page_size == 0 ? kDefaultPageSize : std::min<int>(page_size, kMaxPageSize);
}

StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view field,
                                                  const google::protobuf::Duration& duration,
                                                  std::chrono::milliseconds max) {
  const int64_t max_seconds = max.count() / 1000;
  // Looked at before the sum: seconds may be anything.
  const bool sane = duration.seconds() >= 0 && duration.seconds() <= max_seconds &&
                    duration.nanos() >= 0 && duration.nanos() < kNanosPerSecond;
  const auto value = std::chrono::milliseconds(
      sane ? duration.seconds() * 1000 + duration.nanos() / kNanosPerMilli : -1);
  if (sane && value <= max) return value;
  return BadField(field, StrCat("does not lie between 0 s and ", max_seconds, " s"));
}

StatusOr<Time> ParseTime(std::string_view field, const google::protobuf::Timestamp& time) {
  if (time.seconds() < kMinTimestampSeconds || time.seconds() > kMaxTimestampSeconds ||
      time.nanos() < 0 || time.nanos() >= kNanosPerSecond) {
    return BadField(field, "is not a time between the years 1 and 9999");
  }
  return FromMicros(time.seconds() * 1'000'000 + time.nanos() / 1000);
}

}  // namespace claw::rpc
