#include "agent/budget/chargeback.h"

#include <algorithm>
#include <cmath>

namespace claw::budget {

ByteSeconds Accrued(const Memory& charge, Time from, Time until) {
  if (until <= from) return {};
  // As doubles from the start: a time from a damaged record must not overflow.
  const double seconds =
      (static_cast<double>(ToMicros(until)) - static_cast<double>(ToMicros(from))) / 1e6;
  const auto accrued = [seconds](int64_t bytes) {
    const double unit = kKiB;
    return std::floor(static_cast<double>(std::max<int64_t>(0, bytes)) / unit * seconds) * unit;
  };
  return {.workload = accrued(RequestOf(charge)), .overhead = accrued(charge.overhead_bytes)};
}

}  // namespace claw::budget
