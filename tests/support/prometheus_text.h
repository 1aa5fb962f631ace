#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/status.h"

namespace claw::test {

// What stands in a text of Prometheus' format 0.0.4, read strictly.
struct PrometheusText {
  using Labels = std::map<std::string, std::string>;
  struct Sample {
    std::string name{};  // a histogram's with _bucket, _sum or _count
    Labels labels{};
    double value = 0;
  };
  struct Family {
    std::string help{};
    std::string type{};
    std::vector<Sample> samples{};
  };
  std::map<std::string, Family> families{};

  // Of the one sample with these labels; NaN if there is none.
  double Value(const std::string& name, const Labels& labels = {}) const;
};

// Errors name the line: a sample without HELP and TYPE before it, or apart from its family; names,
// labels, escapes and numbers that are not of the format; a series that comes twice; a counter that
// is negative or whose name does not end in _total; a histogram that does not add up.
StatusOr<PrometheusText> ParsePrometheusText(std::string_view text);

}  // namespace claw::test
