#pragma once

#include <memory>
#include <string>

#include "agent/base/unique_fd.h"
#include "drivers/driver.h"
#include "drivers/guest/guest_client.h"

namespace claw::drivers {

// A further program in a guest's sandbox; two threads for as long as it lasts. What went wrong,
// Wait says.
StatusOr<std::unique_ptr<ExecSession>> ExecRemotely(GuestClientPtr client, const std::string& id,
                                                    const ExecSpec& spec);

// A socket whose bytes go to the program's standard input; one thread until its other end is
// closed or shut down.
StatusOr<UniqueFd> OpenRemoteInput(GuestClientPtr client, const std::string& id);

Status ResizeRemoteTerminal(GuestClientPtr client, const std::string& id, int rows, int columns);

}  // namespace claw::drivers
