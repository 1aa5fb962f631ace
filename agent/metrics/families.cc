#include "agent/metrics/families.h"

#include <limits>

#include "agent/base/utf8.h"

namespace claw::metrics {
namespace {

// What stands in a label may come from a runtime or a registry.
constexpr size_t kMaxLabelBytes = 256;

std::string LabelValue(std::string_view text) {
  text = text.substr(0, kMaxLabelBytes);
  // A cut may have gone through a character.
  while (!text.empty() && !IsUtf8(text)) text.remove_suffix(1);
  return std::string(text);
}

}  // namespace

void Families::Begin(prometheus::MetricType type, std::string_view name, std::string_view help) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  families_.push_back(std::move(family));
}

void Families::Gauge(std::string_view name, std::string_view help) {
  Begin(prometheus::MetricType::Gauge, name, help);
}

void Families::Counter(std::string_view name, std::string_view help) {
  Begin(prometheus::MetricType::Counter, name, help);
}

void Families::Histogram(std::string_view name, std::string_view help) {
  Begin(prometheus::MetricType::Histogram, name, help);
}

prometheus::ClientMetric& Families::Next(Labels labels) {
  prometheus::ClientMetric metric;
  for (const auto& [name, value] : labels) {
    metric.label.push_back({std::string(name), LabelValue(value)});
  }
  std::vector<prometheus::ClientMetric>& metrics = families_.back().metric;
  metrics.push_back(std::move(metric));
  return metrics.back();
}

void Families::Add(double value, Labels labels) {
  prometheus::ClientMetric& metric = Next(labels);
  if (families_.back().type == prometheus::MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
}

void Families::Add(const lifecycle::DurationHistogram& histogram, Labels labels) {
  prometheus::ClientMetric& metric = Next(labels);
  uint64_t below = 0;
  for (size_t i = 0; i < histogram.counts.size(); ++i) {
    below += static_cast<uint64_t>(histogram.counts[i]);
    const double bound = i < histogram.kBounds.size() ? histogram.kBounds[i]
                                                      : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({.cumulative_count = below, .upper_bound = bound});
  }
  metric.histogram.sample_count = below;
  metric.histogram.sample_sum = histogram.sum_seconds;
}

}  // namespace claw::metrics
