#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <string_view>
#include <vector>

#include "agent/lifecycle/node.h"

namespace claw::metrics {

// Everything that is told of a node, as it stands now; README.md has the list. On the strand. There
// is no series for a sandbox: the labels are drivers, tenants, classes, states and reasons.
std::vector<prometheus::MetricFamily> Collect(lifecycle::Node& node, std::string_view version);

// The same as text, in Prometheus' format 0.0.4.
std::string Expose(lifecycle::Node& node, std::string_view version);

}  // namespace claw::metrics
