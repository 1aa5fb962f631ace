#include "agent/host/system_clock.h"

namespace claw::host {

// Only guests are told what the time is, and a Mac is none.
Status SetClock(Time /*time*/) { return Unimplemented("the clock of a Mac is not clawlet's"); }

}  // namespace claw::host
