#pragma once

#include <cstdint>

namespace claw::bench {

struct Interval {
  double low = 0;
  double high = 1;
};

// Clopper and Pearson's interval for the chance behind `hits` of `tries`: each end is wrong with a
// chance of (1 - confidence) / 2 at most. With 0 hits the upper end alone can be wrong, so that it
// takes all of 1 - confidence: about 3 / tries at 95%.
Interval ClopperPearson(int64_t hits, int64_t tries, double confidence = 0.95);

}  // namespace claw::bench
