#pragma once

#include <vector>

#include "tests/bench/network_engine.h"
#include "tests/bench/report.h"

namespace claw::bench {

// With a real agent and real sandboxes: what a start takes with a network and without, and what a
// sandbox gets through to the outside host.
std::vector<Row> MeasureAgent(const NetworkSettings& settings);

}  // namespace claw::bench
