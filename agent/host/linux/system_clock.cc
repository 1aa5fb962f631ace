#include "agent/host/system_clock.h"

#include <cerrno>
#include <ctime>

namespace claw::host {

Status SetClock(Time time) {
  const int64_t micros = ToMicros(time);
  timespec value{};
  value.tv_sec = static_cast<time_t>(micros / 1'000'000);
  value.tv_nsec = static_cast<long>(micros % 1'000'000) * 1000;
  if (::clock_settime(CLOCK_REALTIME, &value) != 0) return ErrnoError(errno, "set the clock");
  return absl::OkStatus();
}

}  // namespace claw::host
