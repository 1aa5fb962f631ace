#pragma once

#include <string>
#include <vector>

#include "tests/bench/budget_sim/simulator.h"

namespace claw::bench {

// One policy on one shape and one size of node, over all seeds.
struct Result {
  std::string shape;
  bool tuning = false;
  int64_t capacity_bytes = 0;
  std::string policy;
  Outcome outcome{};
  double of_oracle = 0;  // density as a share of the oracle's; 0: it was not run
};

// With the node's target epsilon to compare to.
void PrintTable(const std::vector<Result>& results, double epsilon);
void PrintJson(const std::vector<Result>& results, double epsilon);

}  // namespace claw::bench
