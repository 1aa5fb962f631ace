#pragma once

#include <cstdint>
#include <vector>

#include "tests/bench/budget_sim/shapes.h"

namespace claw::bench {

constexpr int64_t kStepsPerSecond = 2;
constexpr int64_t kMaxLifeSteps = int64_t{4} * 3600 * kStepsPerSecond;

// What is known of a sandbox before it runs, beside how long it will (which only the oracle uses).
struct Arrival {
  int64_t index = 0;  // in the queue
  size_t class_index = 0;
  int64_t request_bytes = 0;
  int64_t limit_bytes = 0;
  int64_t baseline_bytes = 0;
  int64_t overhead_bytes = 0;  // that it will really have
  int64_t leak_bytes_per_minute = 0;
  int64_t life_steps = 0;
};

// An endless queue of sandboxes and what each wants of memory. Everything follows from the shape
// and the seed: the same sandbox comes at the same place for every policy, and does the same when
// it starts at the same time.
class Workload {
 public:
  Workload(Shape shape, uint64_t seed, int64_t steps);

  const Shape& shape() const { return shape_; }
  Arrival ArrivalAt(int64_t index) const;
  // What its program wants at each step of its life, never above its limit. A leak ends it early.
  std::vector<int64_t> DemandOf(const Arrival& arrival, int64_t start_step) const;

 private:
  struct Shock {
    double at_seconds = 0;
    int64_t number = 0;
  };

  double Intensity(double at_seconds) const;

  Shape shape_;
  uint64_t seed_;
  std::vector<std::vector<Shock>> shocks_;  // by class, in the order of time
};

}  // namespace claw::bench
