#include "agent/budget/burst.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "agent/base/bytes.h"

namespace claw::budget {
namespace {

constexpr double kLargest = 9.2e18;  // below 2^63

int64_t ToBytes(double bytes) {
  return static_cast<int64_t>(std::ceil(std::clamp(bytes, 0.0, kLargest)));
}

// The demand of one sandbox as a random one on [0, limit].
struct Moments {
  double mean = 0;
  double variance = 0;
  double doubt = 0;  // the part of the variance that was not seen
};

Moments MomentsOf(const BurstDemand& demand, double full_trust) {
  const auto limit = static_cast<double>(std::max<int64_t>(0, demand.limit_bytes));
  const auto request = std::clamp(static_cast<double>(demand.request_bytes), 0.0, limit);
  const UsageMoments& seen = demand.seen;
  if (seen.weight <= 0) {
    const double worst = request * (limit - request);
    return {.mean = request, .variance = worst, .doubt = worst};
  }
  const double trust = seen.weight / (seen.weight + full_trust);
  const double seen_mean = std::clamp(seen.mean_sum / seen.weight, 0.0, limit);
  // Rounding must not carry it past the limit: the variance would be negative.
  const double mean =
      std::min(limit, trust * seen_mean + (1 - trust) * std::max(request, seen_mean));
  const double worst = mean * (limit - mean);
  const double seen_variance =
      std::clamp(seen.square_sum / seen.weight - seen_mean * seen_mean, 0.0, worst);
  const double doubt = (1 - trust) * worst;
  return {.mean = mean, .variance = trust * seen_variance + doubt, .doubt = doubt};
}

// Sums over the sandboxes of one image.
struct Group {
  double variances = 0;
  double deviations = 0;
};

// Bennett's inequality solved for the level: how far above its mean the sum goes with a chance of
// e^-log at most. It grows with the variance and with the excursion.
double Bennett(double excursion, double variance, double log) {
  // Less than a byte.
  if (variance < 1 || excursion < 1) return 0;
  const double level = log * excursion * excursion / variance;
  // Newton's method from Bernstein's solution, which is above the root of a convex function: it
  // comes down to it and never passes it. It doubles the digits that are right each time.
  double u = level / 3 + std::sqrt(level * level / 9 + 2 * level);
  for (int i = 0; i < 20; ++i) {
    const double slope = std::log1p(u);
    if (slope <= 0) break;
    u -= ((1 + u) * slope - u - level) / slope;
  }
  return std::max(0.0, u) * variance / excursion;
}

}  // namespace

// Of all sandboxes there are.
struct BurstModel::Sums {
  double count = 0;
  double mean = 0;
  double independent_variance = 0;
  double variance = 0;  // with correlation
  double doubt = 0;
  double excursion = 0;  // the largest of one
  int64_t requests_bytes = 0;
  int64_t limits_bytes = 0;
};

BurstModel::Sums BurstModel::SumUp(const std::vector<BurstDemand>& demands) const {
  Sums sums;
  std::map<std::string_view, Group> groups;
  for (const BurstDemand& demand : demands) {
    if (demand.count <= 0) continue;
    sums.requests_bytes =
        SaturatingAdd(sums.requests_bytes, SaturatingMul(demand.request_bytes, demand.count));
    sums.limits_bytes =
        SaturatingAdd(sums.limits_bytes, SaturatingMul(demand.limit_bytes, demand.count));
    const Moments moments = MomentsOf(demand, rules_.full_trust);
    const auto alike = static_cast<double>(demand.count);
    sums.count += alike;
    sums.mean += alike * moments.mean;
    sums.doubt += alike * moments.doubt;
    sums.excursion =
        std::max(sums.excursion, static_cast<double>(demand.limit_bytes) - moments.mean);
    Group& group = groups[demand.group];
    group.variances += alike * moments.variance;
    group.deviations += alike * std::sqrt(moments.variance);
  }
  for (const auto& [name, group] : groups) {
    sums.independent_variance += group.variances;
    sums.variance += (1 - rules_.correlation) * group.variances +
                     rules_.correlation * group.deviations * group.deviations;
  }
  return sums;
}

double BurstModel::Seen(const Sums& sums, double log) const {
  const double sigmas = std::sqrt(2 * log);
  const double spread = std::max(0.0, ratio_square_ - ratio_mean_ * ratio_mean_);
  const double highest =
      std::max(ratio_mean_ + sigmas * std::sqrt(spread), ratio_peak_) * sums.mean;
  return std::max(sums.mean + sigmas * std::sqrt(sums.independent_variance),
                  highest + sigmas * std::sqrt(sums.doubt));
}

BurstNeed BurstModel::Need(const std::vector<BurstDemand>& demands) const {
  BurstNeed need;
  const Sums sums = SumUp(demands);
  if (sums.count <= 0) return need;
  const double log = std::log(1 / epsilon_);
  const double bound = sums.mean + Bennett(sums.excursion, sums.variance, log);
  const double bursting = std::max(1.0, std::ceil(sums.count * rules_.burst_share));
  const double bursts = static_cast<double>(rules_.burst_bytes_per_second) *
                        std::chrono::duration<double>(rules_.reaction).count() * bursting;
  double wanted = bound + bursts;
  if (weight_ > 0 && sums.mean > 0) {
    const double seen = Seen(sums, log);
    const auto looks = static_cast<double>(looks_);
    const double trust = looks / (looks + rules_.trust_looks) * std::min(1.0, watched_ / sums.mean);
    wanted = seen + (1 - trust) * std::max(0.0, wanted - seen);
    need.seen_bytes = ToBytes(seen);
  }
  need.sandboxes = ToBytes(sums.count);
  need.requests_bytes = sums.requests_bytes;
  need.limits_bytes = sums.limits_bytes;
  need.mean_bytes = ToBytes(sums.mean);
  need.bound_bytes = ToBytes(bound);
  need.bursts_bytes = ToBytes(bursts);
  need.bytes = std::max(need.requests_bytes, std::min(need.limits_bytes, ToBytes(wanted)));
  return need;
}

void BurstModel::Observe(const std::vector<BurstDemand>& demands, int64_t used_bytes,
                         bool ran_out) {
  const BurstNeed need = Need(demands);
  if (need.mean_bytes <= 0) return;
  const double missed = ran_out || used_bytes > need.bytes ? 1 : 0;
  ++looks_;
  misses_ += static_cast<int64_t>(missed);
  epsilon_ = std::clamp(epsilon_ + rules_.gamma * (rules_.epsilon - missed),
                        rules_.epsilon / rules_.epsilon_range,
                        std::min(0.5, rules_.epsilon * rules_.epsilon_range));
  const auto mean = static_cast<double>(need.mean_bytes);
  const double ratio = static_cast<double>(used_bytes) / mean;
  weight_ = std::min(weight_ + 1, rules_.recent_looks);
  ratio_mean_ += (ratio - ratio_mean_) / weight_;
  ratio_square_ += (ratio * ratio - ratio_square_) / weight_;
  ratio_peak_ = std::max(ratio, ratio_mean_ + (ratio_peak_ - ratio_mean_) * (1 - rules_.epsilon));
  watched_ += (mean - watched_) / std::min(weight_, std::max(1.0, rules_.trust_looks));
}

}  // namespace claw::budget
