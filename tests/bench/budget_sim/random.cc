#include "tests/bench/budget_sim/random.h"

#include <cmath>

namespace claw::bench {
namespace {

constexpr double kTwoPi = 6.283185307179586;

// The finaliser of splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace

Random::Random(uint64_t seed, uint64_t part, uint64_t subpart)
    : engine_(Mix(Mix(Mix(seed) ^ part) ^ subpart)) {}

double Random::Uniform() { return static_cast<double>(engine_() >> 11) * 0x1.0p-53; }

double Random::Exponential(double mean) { return -mean * std::log(1 - Uniform()); }

double Random::LogNormal(double median, double sigma) {
  const double radius = std::sqrt(-2 * std::log(1 - Uniform()));
  return median * std::exp(sigma * radius * std::cos(kTwoPi * Uniform()));
}

double Random::BoundedPareto(double alpha, double low, double high) {
  const double share = 1 - std::pow(low / high, alpha);
  return low / std::pow(1 - Uniform() * share, 1 / alpha);
}

}  // namespace claw::bench
