#pragma once

#include <memory>
#include <string>

#include "drivers/driver.h"
#include "drivers/guest/guest_client.h"

namespace claw::drivers {

// The output of a guest's sandbox, from the beginning. Nothing of what the guest had when Read was
// called is missing from what it answers, however slow the way. Keeps at most about 1 MiB that
// nobody has read yet. A guest that does not answer: UNAVAILABLE, reason GUEST_UNREACHABLE.
StatusOr<std::unique_ptr<LogReader>> OpenRemoteLog(GuestClientPtr client, const std::string& id);

}  // namespace claw::drivers
