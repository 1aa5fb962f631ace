#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tests/bench/report.h"

namespace claw::bench {

struct NetworkSettings {
  int sandboxes = 500;  // of which the rules are there
  int seconds = 3;      // of each stream
  int rounds = 5;
  bool json = false;
};

// What claw::network takes by itself, without an agent and with a process in a namespace instead of
// a sandbox: the cost of its rules for traffic, and the time of each of its verbs.
std::vector<Row> MeasureEngine(const NetworkSettings& settings);

double MillisSince(std::chrono::steady_clock::time_point begin);
void Progress(const std::string& text);

}  // namespace claw::bench
