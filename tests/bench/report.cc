#include "tests/bench/report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

namespace claw::bench {

Spread SpreadOf(std::vector<double> samples) {
  if (samples.empty()) return {};
  std::sort(samples.begin(), samples.end());
  const size_t middle = samples.size() / 2;
  const double median =
      samples.size() % 2 == 1 ? samples[middle] : (samples[middle - 1] + samples[middle]) / 2;
  return {.min = samples.front(), .median = median, .max = samples.back()};
}

void Compare(std::vector<Row>& rows) {
  std::map<std::string, double> base;
  for (Row& row : rows) {
    const auto [it, first] = base.try_emplace(row.group, row.value.median);
    if (first || it->second == 0) continue;
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%+.1f %s, x%.2f", row.value.median - it->second,
                  row.unit.c_str(), row.value.median / it->second);
    row.note = text.data();
  }
}

void Print(const std::string& benchmark, const std::vector<Row>& rows, bool json) {
  if (json) {
    nlohmann::json out = {{"benchmark", benchmark}, {"rows", nlohmann::json::array()}};
    for (const Row& row : rows) {
      out["rows"].push_back({{"group", row.group},
                             {"who", row.who},
                             {"unit", row.unit},
                             {"min", row.value.min},
                             {"median", row.value.median},
                             {"max", row.value.max},
                             {"note", row.note}});
    }
    std::printf("%s\n", out.dump(2).c_str());
    return;
  }
  std::string group;
  for (const Row& row : rows) {
    if (row.group != group) std::printf("\n%s\n", row.group.c_str());
    group = row.group;
    std::printf("  %-28s %9.2f %9.2f %9.2f %-4s %s\n", row.who.c_str(), row.value.min,
                row.value.median, row.value.max, row.unit.c_str(), row.note.c_str());
  }
  std::printf("\n  (minimum, median, maximum; notes compare medians with the group's first row)\n");
}

}  // namespace claw::bench
