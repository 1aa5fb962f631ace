#pragma once

#include <prometheus/metric_family.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/lifecycle/counters.h"

namespace claw::metrics {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// Builds families one after the other: values go to the one that was begun last. A family without
// values is told of all the same, by its help.
class Families {
 public:
  void Gauge(std::string_view name, std::string_view help);
  void Counter(std::string_view name, std::string_view help);
  void Histogram(std::string_view name, std::string_view help);

  void Add(double value, Labels labels = {});
  void Add(int64_t value, Labels labels = {}) { Add(static_cast<double>(value), labels); }
  void Add(bool value, Labels labels = {}) { Add(value ? 1.0 : 0.0, labels); }
  void Add(const lifecycle::DurationHistogram& histogram, Labels labels = {});

  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  void Begin(prometheus::MetricType type, std::string_view name, std::string_view help);
  prometheus::ClientMetric& Next(Labels labels);

  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace claw::metrics
