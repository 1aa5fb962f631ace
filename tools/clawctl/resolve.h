#pragma once

#include <string>
#include <string_view>

#include "agent/base/status.h"
#include "tools/clawctl/client.h"

namespace claw::ctl {

// The resource name of what a user typed: a full id, a display name, or a prefix of an id that only
// one sandbox has ("sandboxes/" before it is allowed). NOT_FOUND if there is none, INVALID_ARGUMENT
// with the candidates if there are several.
StatusOr<std::string> ResolveSandbox(Client& client, std::string_view typed);

// The same for images: a digest, a reference, or the start of a digest as `image ls` shows it.
StatusOr<std::string> ResolveImage(Client& client, std::string_view typed);

// The same for reservations: "reservations/ID" of an id, the start of one, or the name of the
// sandbox that it becomes.
StatusOr<std::string> ResolveReservation(Client& client, std::string_view typed);

// "tenants/NAME", whether or not the user typed the collection.
std::string TenantName(std::string_view typed);

}  // namespace claw::ctl
