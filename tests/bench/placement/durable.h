#pragma once

#include <string>
#include <vector>

#include "tests/bench/report.h"

namespace claw::bench {

struct DurableSettings {
  std::string bin{};  // folder of clawlet
  std::vector<int> callers = {1, 64};
  int rounds = 3;
  int seconds = 3;  // of each measurement
};

// Acknowledged, durable changes a second: places that are reserved and released through the
// agent's API, puts into an etcd through its API, and commits of one row each in SQLite (WAL,
// synchronous=FULL), all on one disk and taking turns. Ends the benchmark if one of them fails.
std::vector<Row> MeasureDurable(const DurableSettings& settings);

}  // namespace claw::bench
