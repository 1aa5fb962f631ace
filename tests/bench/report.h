#pragma once

#include <string>
#include <vector>

namespace claw::bench {

// The lowest, the middle and the highest of some measurements, in their own unit.
struct Spread {
  double min = 0;
  double median = 0;
  double max = 0;
};
Spread SpreadOf(std::vector<double> samples);

// One line of a benchmark's table: who did it, what, and the figures.
struct Row {
  std::string group;  // "create-to-running, runc"
  std::string who;    // "clawlet", "runc", "podman"
  std::string unit;   // "ms", "1/s", "MiB"
  Spread value{};
  std::string note{};  // a ratio or a difference to the group's first row
};

// Prints all rows as a table or as JSON ({"benchmark": …, "rows": […]}).
void Print(const std::string& benchmark, const std::vector<Row>& rows, bool json);

// Sets each row's note to its difference from, and ratio to, the first row of its group.
void Compare(std::vector<Row>& rows);

}  // namespace claw::bench
