#pragma once

#include <cstdint>
#include <vector>

#include "tests/bench/report.h"

namespace claw::bench {

// How fast a placement table decides, within one process: no agent, no network, no disk.
struct DecisionSettings {
  std::vector<int64_t> targets = {10, 1'000, 10'000};
  int64_t sandboxes = 100'000;  // that are there already, over all targets
  int64_t decisions = 5'000;    // of each case
  uint64_t seed = 1;
};

// For each number of targets: time of one decision (p50, p99, the longest) and of taking note of
// what came of it, and how many decisions a second that makes. For the most targets also without
// any sandbox, for one tenant that has sandboxes everywhere, for labels that one target in a
// hundred has, for burstable sandboxes, and for demands that nothing takes.
std::vector<Row> MeasureDecisions(const DecisionSettings& settings);

}  // namespace claw::bench
