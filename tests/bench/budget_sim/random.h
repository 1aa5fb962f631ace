#pragma once

#include <cstdint>
#include <random>

namespace claw::bench {

// Random numbers that are the same with every standard library: the engine is fixed by the C++
// standard, and the distributions, which are not, are written out here.
class Random {
 public:
  // Different parts give streams that have nothing to do with each other.
  explicit Random(uint64_t seed, uint64_t part = 0, uint64_t subpart = 0);

  double Uniform();  // at least 0, below 1
  double Uniform(double low, double high) { return low + (high - low) * Uniform(); }
  bool Chance(double probability) { return Uniform() < probability; }
  double Exponential(double mean);
  // exp of a normal variable: half of the values are below `median`.
  double LogNormal(double median, double sigma);
  // Between `low` and `high` with P(x > y) ~ y^-alpha: the smaller alpha, the heavier the tail.
  double BoundedPareto(double alpha, double low, double high);

 private:
  std::mt19937_64 engine_;
};

}  // namespace claw::bench
