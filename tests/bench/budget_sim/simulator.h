#pragma once

#include <cstdint>

#include "tests/bench/budget_sim/policies.h"
#include "tests/bench/budget_sim/traces.h"

namespace claw::bench {

struct NodeSetup {
  int64_t capacity_bytes = 0;
  int64_t steps = 0;          // of half a second
  int64_t warm_up_steps = 0;  // that do not count for density; misses count from the first step
  int64_t starts_per_step = 2;
};

// What happened on one node, or on several if added up.
struct Outcome {
  int64_t counted_steps = 0;
  double running_sum = 0;    // over counted steps
  double used_sum = 0;       // over counted steps, as a share of what is allocatable
  int64_t looks = 0;         // stretches of five seconds
  int64_t missed_looks = 0;  // in which more was wanted than is allocatable
  int64_t windows = 0;       // of a minute
  int64_t missed_windows = 0;
  int64_t starts = 0;
  int64_t kills = 0;
  int64_t kills_within_request = 0;
  double epsilon = 0;  // the last; of several the lowest

  double running() const { return Mean(running_sum); }
  double used() const { return Mean(used_sum); }
  double Mean(double sum) const {
    return counted_steps > 0 ? sum / static_cast<double>(counted_steps) : 0;
  }
  void Add(const Outcome& other);
};

// A node with a queue that never runs dry. Who is refused is asked again when a sandbox ends and at
// each look, and those behind it wait. If more is wanted than is allocatable, sandboxes are killed
// in the order of agent/budget/evict.h until it fits.
Outcome Simulate(const NodeSetup& setup, const Workload& workload, Policy& policy);

}  // namespace claw::bench
