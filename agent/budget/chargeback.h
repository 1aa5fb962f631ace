#pragma once

#include "agent/model/sandbox.h"
#include "agent/model/usage.h"

namespace claw::budget {

// What a charge that began at `from` comes to at `until`: what is set aside for the program alone,
// and the overhead, each times the seconds between. Nothing if `until` is not later, as after the
// clock was set back. Never less for a later `until`.
//
// Rounded down to whole KiB x seconds. Sums of such numbers are exact in a double up to 2^63 bytes
// x seconds, in whatever order they are made, so that a total that is made anew is not lower by a
// rounding error: who reads counters would take that for a restart from 0.
ByteSeconds Accrued(const Memory& charge, Time from, Time until);

}  // namespace claw::budget
