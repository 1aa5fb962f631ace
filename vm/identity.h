#pragma once

#include <chrono>
#include <string>

#include "agent/base/clock.h"
#include "agent/base/status.h"

namespace claw::vm {

// Who is at the two ends of the way to one guest, PEM. The authority is of this guest alone, and
// its key is gone before anybody sees it: nobody else can ever be the host of it, or be taken for
// it.
struct GuestIdentity {
  std::string authority{};
  std::string guest_certificate{};  // claw://guest/NAME, and the DNS name "guest"
  std::string guest_key{};
  std::string host_certificate{};  // claw://host
  std::string host_key{};
  Time expires_at{};
};

// What the certificates of both ends are called by.
inline constexpr const char* kGuestDnsName = "guest";

// EC keys over P-256. Valid from a day before `now`, for a guest's clock that is not set yet.
StatusOr<GuestIdentity> MakeGuestIdentity(const std::string& vm, Time now,
                                          std::chrono::hours lifetime);

}  // namespace claw::vm
