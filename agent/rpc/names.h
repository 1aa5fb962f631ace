#pragma once

// What requests have in common: checked here, field by field. Every error is INVALID_ARGUMENT with
// the field as its constraint.

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/repeated_field.h>
#include <google/protobuf/timestamp.pb.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/clock.h"
#include "agent/base/status.h"
#include "agent/lifecycle/call.h"

namespace claw::rpc {

Status BadField(std::string_view field, std::string_view why);

// What the node is told of a request that changes something.
template <typename Request>
lifecycle::Call MakeCall(const Request& request, const std::string& actor) {
  lifecycle::Call call{.request_id = request.request_id(), .actor = actor};
  if constexpr (requires { request.fence(); }) {
    call.fence = {.boot_id = request.fence().boot_id(),
                  .incarnation = request.fence().incarnation_id(),
                  .generation = request.fence().controller_generation()};
  }
  return call;
}

// "sandboxes/X" -> X, an id or a display name.
StatusOr<std::string> ParseSandboxName(std::string_view field, std::string_view name);
// "reservations/X" -> X.
StatusOr<std::string> ParseReservationName(std::string_view field, std::string_view name);
// "tenants/X" -> X.
StatusOr<std::string> ParseTenantName(std::string_view field, std::string_view name);
// The same, or empty for "all of them".
StatusOr<std::string> ParseTenantFilter(std::string_view field, std::string_view name);
// "vms/X" -> X.
StatusOr<std::string> ParseVmName(std::string_view field, std::string_view name);
// "networkPolicies/X" -> X.
StatusOr<std::string> ParseNetworkPolicyName(std::string_view field, std::string_view name);
// "images/X" -> X, a digest or a reference.
StatusOr<std::string> ParseImageName(std::string_view field, std::string_view name);
// "linux/arm64" or "arm64" -> "arm64"; each once, in their order.
StatusOr<std::vector<std::string>> ParsePlatforms(
    std::string_view field, const google::protobuf::RepeatedPtrField<std::string>& platforms);

// At most 128 bytes of printable ASCII; may be empty.
Status CheckRequestId(std::string_view request_id);

// 0 is 100, more than 1000 is 1000.
StatusOr<int> ParsePageSize(int32_t page_size);

// 0 s to `max`, to the millisecond.
StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view field,
                                                  const google::protobuf::Duration& duration,
                                                  std::chrono::milliseconds max);
StatusOr<Time> ParseTime(std::string_view field, const google::protobuf::Timestamp& time);

}  // namespace claw::rpc
