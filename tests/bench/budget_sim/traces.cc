#include "tests/bench/budget_sim/traces.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "agent/base/bytes.h"
#include "tests/bench/budget_sim/random.h"

namespace claw::bench {
namespace {

// Streams of random numbers.
constexpr uint64_t kOfBatch = 1;
constexpr uint64_t kOfArrival = 2;
constexpr uint64_t kOfDemand = 3;
constexpr uint64_t kOfShocks = 4;
constexpr uint64_t kOfShockPart = 5;

constexpr std::array<int64_t, 8> kLimitsOffered = {128 * kMiB, 256 * kMiB, 512 * kMiB, kGiB,
                                                   2 * kGiB,   4 * kGiB,   8 * kGiB,   16 * kGiB};
constexpr int64_t kRequestsOffered = 64 * kMiB;  // multiples of it

int64_t Bytes(double bytes) { return static_cast<int64_t>(std::llround(bytes)); }
int64_t Steps(double seconds) {
  return static_cast<int64_t>(std::llround(seconds * static_cast<double>(kStepsPerSecond)));
}
double Seconds(int64_t steps) {
  return static_cast<double>(steps) / static_cast<double>(kStepsPerSecond);
}

int64_t LimitOffered(double wanted) {
  for (const int64_t offered : kLimitsOffered) {
    if (static_cast<double>(offered) >= wanted) return offered;
  }
  return kLimitsOffered.back();
}

void Raise(std::vector<int64_t>& demand, int64_t from, int64_t to, int64_t bytes) {
  const auto size = static_cast<int64_t>(demand.size());
  for (int64_t step = std::max<int64_t>(0, from); step < std::min(to, size); ++step) {
    demand[static_cast<size_t>(step)] += bytes;
  }
}

void Burst(std::vector<int64_t>& demand, const ClassShape& shape, double at_seconds, double factor,
           Random& random) {
  const double height = factor * random.BoundedPareto(shape.burst_alpha, shape.burst_low_bytes,
                                                      shape.burst_high_bytes);
  const double rise = height / shape.burst_bytes_per_second;
  const double seconds =
      std::max(rise + 0.5, random.Uniform(shape.burst_min_seconds, shape.burst_max_seconds));
  const int64_t from = Steps(at_seconds);
  const int64_t to = from + std::max<int64_t>(1, Steps(seconds));
  for (int64_t step = from; step < to; ++step) {
    const double grown = shape.burst_bytes_per_second * Seconds(step - from + 1);
    Raise(demand, step, step + 1, Bytes(std::min(height, grown)));
  }
}

}  // namespace

Workload::Workload(Shape shape, uint64_t seed, int64_t steps)
    : shape_(std::move(shape)), seed_(seed), shocks_(shape_.classes.size()) {
  const double end = Seconds(steps + kMaxLifeSteps);
  int64_t number = 0;
  const auto draw = [&](double per_hour, uint64_t stream, const auto& add) {
    if (per_hour <= 0) return;
    Random random(seed_, kOfShocks, stream);
    double at = random.Exponential(3600 / per_hour);
    for (; at < end; at += random.Exponential(3600 / per_hour)) {
      add(Shock{.at_seconds = at, .number = ++number});
    }
  };
  draw(shape_.common_shocks_per_hour, 0, [&](const Shock& shock) {
    for (std::vector<Shock>& of_class : shocks_) of_class.push_back(shock);
  });
  for (size_t i = 0; i < shocks_.size(); ++i) {
    draw(shape_.classes[i].shocks_per_hour, i + 1,
         [&](const Shock& shock) { shocks_[i].push_back(shock); });
    std::sort(shocks_[i].begin(), shocks_[i].end(),
              [](const Shock& a, const Shock& b) { return a.at_seconds < b.at_seconds; });
  }
}

Arrival Workload::ArrivalAt(int64_t index) const {
  // Those of one batch share a class and the length of their lives.
  const int64_t batch = index / std::max<int64_t>(1, shape_.batch);
  Random together(seed_, kOfBatch, static_cast<uint64_t>(batch));
  double shares = 0;
  for (const ClassShape& one : shape_.classes) shares += one.share;
  double drawn = together.Uniform(0, shares);
  Arrival arrival{.index = index};
  while (arrival.class_index + 1 < shape_.classes.size() &&
         drawn >= shape_.classes[arrival.class_index].share) {
    drawn -= shape_.classes[arrival.class_index++].share;
  }
  const ClassShape& of = shape_.classes[arrival.class_index];
  Random random(seed_, kOfArrival, static_cast<uint64_t>(index));
  const double life = together.LogNormal(of.life_seconds, of.life_sigma) +
                      (shape_.batch > 1 ? random.Uniform(0, 5) : 0);
  arrival.life_steps = std::clamp<int64_t>(Steps(life), Steps(20), kMaxLifeSteps);
  const double baseline = random.LogNormal(of.baseline_bytes, of.baseline_sigma);
  arrival.baseline_bytes = Bytes(baseline);
  arrival.overhead_bytes = Bytes(random.LogNormal(of.overhead_bytes, of.overhead_sigma));
  const double guess = random.LogNormal(of.limit_guess_bytes, of.limit_sigma);
  arrival.limit_bytes = LimitOffered(std::max(guess, 1.2 * baseline));
  const double request = of.request_factor * random.LogNormal(of.baseline_bytes, of.request_sigma);
  const int64_t multiple = Bytes(request) / kRequestsOffered + 1;
  arrival.request_bytes = std::min(multiple * kRequestsOffered, arrival.limit_bytes / 2);
  if (random.Chance(of.leak_share)) {
    arrival.leak_bytes_per_minute = Bytes(random.LogNormal(of.leak_bytes_per_minute, 0.5));
  }
  return arrival;
}

double Workload::Intensity(double at_seconds) const {
  constexpr double kTwoPi = 6.283185307179586;
  const double quiet = at_seconds < shape_.quiet_seconds ? 0.1 : 1;
  return quiet + shape_.day_swing * std::sin(kTwoPi * at_seconds / shape_.day_seconds);
}

std::vector<int64_t> Workload::DemandOf(const Arrival& arrival, int64_t start_step) const {
  const ClassShape& of = shape_.classes[arrival.class_index];
  Random random(seed_, kOfDemand, static_cast<uint64_t>(arrival.index));
  std::vector<int64_t> demand(static_cast<size_t>(arrival.life_steps), arrival.baseline_bytes);
  const double start = Seconds(start_step);
  const double end = Seconds(arrival.life_steps);
  const auto factor_at = [&](double at) {
    return of.drift_at_seconds > 0 && at >= of.drift_at_seconds ? of.drift_factor : 1.0;
  };
  // Half of the way up, half of it down.
  const int64_t boot = std::max<int64_t>(1, Steps(of.boot_seconds));
  for (int64_t step = 0; step < boot; ++step) {
    const double middle = static_cast<double>(boot) / 2;
    const double share = 1 - std::abs(static_cast<double>(step) + 0.5 - middle) / middle;
    const double peak = std::max(0.0, of.boot_peak_bytes - of.baseline_bytes);
    Raise(demand, step, step + 1, Bytes(share * peak));
  }
  double at = of.boot_seconds;
  while (at < end) {
    at += random.Exponential(of.think_seconds / Intensity(start + at));
    const double call = random.Exponential(of.tool_seconds);
    Raise(demand, Steps(at), Steps(at + call), Bytes(random.Uniform(0, 2 * of.tool_bytes)));
    if (random.Chance(of.burst_chance)) {
      Burst(demand, of, at + random.Uniform(0, call), factor_at(start + at), random);
    }
    at += call;
  }
  for (const Shock& shock : shocks_[arrival.class_index]) {
    if (shock.at_seconds < start || shock.at_seconds >= start + end) continue;
    Random part(seed_ + static_cast<uint64_t>(shock.number), kOfShockPart,
                static_cast<uint64_t>(arrival.index));
    if (!part.Chance(of.shock_chance)) continue;
    const double begin = shock.at_seconds - start + part.Uniform(0, of.shock_spread_seconds);
    Burst(demand, of, begin, of.shock_factor * factor_at(shock.at_seconds), part);
  }
  for (size_t step = 0; step < demand.size(); ++step) {
    const double minutes = Seconds(static_cast<int64_t>(step)) / 60;
    const int64_t leaked = Bytes(minutes * static_cast<double>(arrival.leak_bytes_per_minute));
    if (arrival.baseline_bytes + leaked >= arrival.limit_bytes) {
      demand.resize(step + 1);
      demand[step] = arrival.limit_bytes;
      break;
    }
    demand[step] = std::min(demand[step] + leaked, arrival.limit_bytes);
  }
  return demand;
}

}  // namespace claw::bench
