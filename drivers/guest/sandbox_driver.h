#pragma once

#include <memory>

#include "drivers/guest/exit_watch.h"
#include "drivers/guest/guest.h"
#include "drivers/guest/guest_client.h"

namespace claw::drivers {

// Sandboxes of one class in a guest: the driver's contract over the public API. The guest's agent
// decides about each by itself, with the host's records; a place of its ledger is what Create
// makes, and Start takes it up.
std::unique_ptr<Driver> MakeSandboxDriver(GuestClientPtr client, std::shared_ptr<ExitWatch> exits,
                                          IsolationClass isolation);

}  // namespace claw::drivers
