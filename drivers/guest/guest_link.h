#pragma once

#include <string>

#include "drivers/guest/guest.h"

namespace claw::drivers {

// Dials guests whose agent is of this version: host and guest are built together.
DialGuest MakeDialGuest(std::string agent_version);

}  // namespace claw::drivers
