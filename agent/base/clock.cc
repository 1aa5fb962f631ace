#include "agent/base/clock.h"

#include <absl/time/time.h>

namespace claw {

std::string FormatTime(Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromUnixMicros(ToMicros(time)),
                          absl::UTCTimeZone());
}

}  // namespace claw
