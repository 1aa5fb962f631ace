#pragma once

#include "agent/base/clock.h"
#include "agent/base/status.h"

namespace claw::host {

// Sets the machine's clock, in one step. PERMISSION_DENIED without the right to. linux/ and darwin/
// each have one.
Status SetClock(Time time);

}  // namespace claw::host
