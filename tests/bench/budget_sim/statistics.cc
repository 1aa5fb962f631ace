#include "tests/bench/budget_sim/statistics.h"

#include <algorithm>
#include <cmath>

namespace claw::bench {
namespace {

// Chance of at most `hits` of `tries` at chance p each.
double AtMost(int64_t hits, int64_t tries, double p) {
  if (hits >= tries || p <= 0) return 1;
  if (p >= 1) return 0;
  const auto n = static_cast<double>(tries);
  double log_term = n * std::log1p(-p);
  double sum = std::exp(log_term);
  for (int64_t k = 1; k <= hits; ++k) {
    const auto at = static_cast<double>(k);
    log_term += std::log((n - at + 1) / at) + std::log(p) - std::log1p(-p);
    sum += std::exp(log_term);
  }
  return std::min(1.0, sum);
}

// The p at which a falling function of it passes `level`.
template <typename Function>
double Solve(const Function& falling, double level) {
  double low = 0;
  double high = 1;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (falling(middle) > level ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace

Interval ClopperPearson(int64_t hits, int64_t tries, double confidence) {
  if (tries <= 0) return {};
  const double wrong = 1 - confidence;
  Interval interval{.low = 0, .high = 1};
  if (hits > 0) {
    interval.low = Solve([&](double p) { return AtMost(hits - 1, tries, p); }, 1 - wrong / 2);
  }
  if (hits < tries) {
    const double tail = hits == 0 ? wrong : wrong / 2;
    interval.high = Solve([&](double p) { return AtMost(hits, tries, p); }, tail);
  }
  return interval;
}

}  // namespace claw::bench
