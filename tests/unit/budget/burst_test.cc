#include "agent/budget/burst.h"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "agent/base/bytes.h"

namespace claw::budget {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

// Measured in so many windows, with this mean and deviation.
UsageMoments Seen(double windows, double mean, double deviation) {
  return {.weight = windows,
          .mean_sum = windows * mean,
          .square_sum = windows * (mean * mean + deviation * deviation)};
}

BurstRules WithoutBursts() {
  BurstRules rules;
  rules.burst_bytes_per_second = 0;
  return rules;
}

constexpr auto kMean = static_cast<double>(100 * kMiB);

std::vector<BurstDemand> Alike(int64_t count, const UsageMoments& seen) {
  return {{.group = "image",
           .request_bytes = 100 * kMiB,
           .limit_bytes = kGiB,
           .seen = seen,
           .count = count}};
}

TEST_CASE("none need nothing, and one need no more than its limit") {
  const BurstModel model;
  CHECK(model.Need({}).bytes == 0);
  const BurstNeed one = model.Need(Alike(1, {}));
  CHECK(one.bytes == kGiB);  // nobody knows it: it may do its worst
  CHECK(one.sandboxes == 1);
  CHECK(one.requests_bytes == 100 * kMiB);
}

TEST_CASE("the formula of the header, figure by figure") {
  BurstRules rules = WithoutBursts();
  rules.epsilon = std::exp(-3.0);  // L = 3
  rules.correlation = 0;
  rules.full_trust = 0;
  const BurstModel model(rules);
  const BurstNeed need = model.Need(Alike(100, Seen(10, kMean, kMean / 10)));
  const double excursion = static_cast<double>(kGiB) - kMean;
  // Bennett's exponent at the level that was answered.
  const auto exponent = [&](int64_t bytes, double variance) {
    const double u = excursion * (static_cast<double>(bytes) - 100 * kMean) / variance;
    return variance / (excursion * excursion) * ((1 + u) * std::log1p(u) - u);
  };
  const double apart = 100 * kMean * kMean / 100;
  CHECK(exponent(need.bound_bytes, apart) == Approx(3));
  CHECK(static_cast<double>(need.mean_bytes) == Approx(100 * kMean));
  CHECK(need.bytes == need.bound_bytes);
  // Bernstein's own form is above it.
  const double bernstein = excursion + std::sqrt(excursion * excursion + 6 * apart);
  CHECK(static_cast<double>(need.bound_bytes) < 100 * kMean + bernstein);

  rules.correlation = 1;
  const BurstNeed as_one = BurstModel(rules).Need(Alike(100, Seen(10, kMean, kMean / 10)));
  CHECK(exponent(as_one.bound_bytes, 100 * apart) == Approx(3));
}

TEST_CASE("what is measured to be steady needs less, what is seen to move more") {
  const BurstModel model(WithoutBursts());
  const int64_t unseen = model.Need(Alike(50, {})).bytes;
  const int64_t steady = model.Need(Alike(50, Seen(1000, kMean, 0))).bytes;
  const int64_t restless = model.Need(Alike(50, Seen(1000, kMean, kMean))).bytes;
  CHECK(steady < restless);
  CHECK(restless < unseen);
  // A request that is too low is found out.
  CHECK(model.Need(Alike(50, Seen(1000, 5 * kMean, 0))).bytes > 50 * 480 * kMiB);
}

TEST_CASE("what was seen of all together counts when they move together") {
  BurstModel model(WithoutBursts());
  const auto demands = Alike(50, Seen(1000, kMean, kMean / 100));
  const BurstNeed before = model.Need(demands);
  CHECK(before.seen_bytes == 0);
  // They move together: half of the time all use three times as much.
  for (int i = 0; i < 100; ++i) model.Observe(demands, (i % 2 == 0 ? 50 : 150) * 100 * kMiB);
  const BurstNeed after = model.Need(demands);
  CHECK(after.seen_bytes > after.bound_bytes);
  CHECK(after.bytes >= 150 * 100 * kMiB);
  CHECK(after.bytes <= after.limits_bytes);
}

TEST_CASE("what has been watched long enough takes the place of the bound; the few say nothing") {
  BurstModel model(WithoutBursts());
  const auto demands = Alike(200, Seen(1000, kMean, kMean));
  const int64_t bound = model.Need(demands).bytes;
  const auto few = Alike(2, Seen(1000, kMean, kMean));
  for (int i = 0; i < 1000; ++i) model.Observe(few, 2 * 100 * kMiB);
  const int64_t after_few = model.Need(demands).bytes;
  CHECK(after_few > bound / 2);
  for (int i = 0; i < 1000; ++i) model.Observe(demands, 200 * 100 * kMiB);
  const int64_t after_all = model.Need(demands).bytes;
  CHECK(after_all < after_few);
  CHECK(after_all >= 200 * 100 * kMiB);
  CHECK(model.misses() == 0);
}

TEST_CASE("that the node ran out is a miss, whatever was seen to be used") {
  BurstModel model(WithoutBursts());
  const auto demands = Alike(50, Seen(1000, kMean, kMean / 10));
  model.Observe(demands, 50 * 100 * kMiB, true);
  CHECK(model.misses() == 1);
  CHECK(model.epsilon() < model.rules().epsilon);
}

TEST_CASE("a miss makes epsilon smaller at once, many looks without one make it larger slowly") {
  BurstModel model(WithoutBursts());
  const double target = model.rules().epsilon;
  const auto demands = Alike(50, Seen(1000, kMean, kMean / 10));
  CHECK(model.epsilon() == target);
  model.Observe(demands, kMax / 2);
  CHECK(model.misses() == 1);
  CHECK(model.epsilon() < target);
  BurstModel calm(WithoutBursts());
  for (int i = 0; i < 1000; ++i) calm.Observe(demands, 50 * 100 * kMiB);
  CHECK(calm.misses() == 0);
  CHECK(calm.looks() == 1000);
  CHECK(calm.epsilon() > target);
  CHECK(calm.epsilon() <= target * calm.rules().epsilon_range);
  // Nothing runs: nothing is learned.
  BurstModel idle;
  idle.Observe({}, 0);
  CHECK(idle.looks() == 0);
}

TEST_CASE("one more never makes it less, and neither does a higher limit; nothing overflows") {
  rc::prop("random demands", [] {
    const auto size = [] {
      return *rc::gen::oneOf(rc::gen::inRange<int64_t>(0, 1000), rc::gen::inRange<int64_t>(0, kMax),
                             rc::gen::element(int64_t{kMax}, kMax - 1, 64 * kMiB, kGiB));
    };
    const auto demand = [&] {
      BurstDemand one;
      one.group = *rc::gen::element(std::string("a"), std::string("b"));
      one.limit_bytes = size();
      one.request_bytes = one.limit_bytes / *rc::gen::inRange(1, 10);
      one.count = *rc::gen::inRange<int64_t>(1, 100);
      if (*rc::gen::arbitrary<bool>()) {
        const auto limit = static_cast<double>(one.limit_bytes);
        one.seen = Seen(*rc::gen::inRange(1, 100), limit / *rc::gen::inRange(1, 10),
                        limit / *rc::gen::inRange(2, 20));
      }
      return one;
    };
    const BurstModel model;
    std::vector<BurstDemand> demands;
    int64_t before = 0;
    for (int i = *rc::gen::inRange(1, 12); i > 0; --i) {
      demands.push_back(demand());
      const BurstNeed need = model.Need(demands);
      RC_ASSERT(need.bytes >= need.requests_bytes);
      RC_ASSERT(need.bytes <= need.limits_bytes);
      // Doubles do not hold every byte.
      RC_ASSERT(static_cast<double>(need.bytes) >= static_cast<double>(before) * (1 - 1e-9));
      before = need.bytes;
    }
    BurstDemand& raised = demands[static_cast<size_t>(
        *rc::gen::inRange<int64_t>(0, static_cast<int64_t>(demands.size())))];
    raised.limit_bytes = SaturatingAdd(raised.limit_bytes, size());
    RC_ASSERT(static_cast<double>(model.Need(demands).bytes) >=
              static_cast<double>(before) * (1 - 1e-9));
  });
}

}  // namespace
}  // namespace claw::budget
