#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "agent/base/bytes.h"
#include "tests/bench/budget_sim/policies.h"
#include "tests/bench/budget_sim/simulator.h"
#include "tests/bench/budget_sim/statistics.h"

namespace claw::bench {
namespace {

constexpr int64_t kHour = 3600 * kStepsPerSecond;

Outcome Run(const Shape& shape, const std::string& policy_name, uint64_t seed) {
  const NodeSetup setup{.capacity_bytes = 8 * kGiB, .steps = kHour * 5 / 4, .warm_up_steps = 600};
  const Workload workload(shape, seed, setup.steps);
  const std::unique_ptr<Policy> policy = MakePolicy(policy_name, shape, {});
  return Simulate(setup, workload, *policy);
}

TEST_CASE("a seed gives the same sandboxes and demands, another gives others") {
  const std::vector<Shape> shapes = AllShapes();
  for (const Shape& shape : shapes) {
    const Workload one(shape, 1, kHour);
    const Workload same(shape, 1, kHour);
    const Workload other(shape, 2, kHour);
    int differ = 0;
    for (int64_t index = 0; index < 20; ++index) {
      const std::vector<int64_t> demand = one.DemandOf(one.ArrivalAt(index), index * 100);
      CHECK(demand == same.DemandOf(same.ArrivalAt(index), index * 100));
      differ += demand == other.DemandOf(other.ArrivalAt(index), index * 100) ? 0 : 1;
    }
    CHECK(differ > 15);
  }
}

// So that a change of the generator, or a machine on which it differs, is noticed.
TEST_CASE("the first sandbox of the first shape is the one it always was") {
  const Workload workload(AllShapes().front(), 1, kHour);
  const Arrival first = workload.ArrivalAt(0);
  const std::vector<int64_t> demand = workload.DemandOf(first, 0);
  CHECK(first.limit_bytes == 4 * kGiB);
  CHECK(first.request_bytes == 128 * kMiB);
  CHECK(first.life_steps == 645);
  CHECK(static_cast<double>(demand[10]) == Approx(199705869));
}

TEST_CASE("shapes have names of their own, at least four are held out, and none passes a limit") {
  const std::vector<Shape> shapes = AllShapes();
  std::set<std::string> names;
  int64_t held_out = 0;
  for (const Shape& shape : shapes) {
    CHECK(names.insert(shape.name).second);
    held_out += shape.tuning ? 0 : 1;
    const Workload workload(shape, 3, kHour);
    for (int64_t index = 0; index < 50; ++index) {
      const Arrival arrival = workload.ArrivalAt(index);
      CHECK(arrival.request_bytes > 0);
      CHECK(arrival.request_bytes < arrival.limit_bytes);
      const std::vector<int64_t> demand = workload.DemandOf(arrival, 0);
      const auto [least, most] = std::minmax_element(demand.begin(), demand.end());
      CHECK(*least > 0);
      CHECK(*most <= arrival.limit_bytes);
    }
  }
  CHECK(held_out >= 4);
}

TEST_CASE("who sets aside all limits never runs out, and neither does who knows the future") {
  const std::vector<Shape> shapes = AllShapes();
  for (const Shape& shape : shapes) {
    for (const std::string policy : {"limits", "static-256", "1.25x+2Gi", "oracle"}) {
      INFO(shape.name << ", " << policy);
      const Outcome outcome = Run(shape, policy, 1);
      CHECK(outcome.missed_looks == 0);
      CHECK(outcome.kills == 0);
      CHECK(outcome.running() <= Run(shape, "oracle", 1).running());
    }
  }
}

TEST_CASE("a run is repeated by its seed, and who sets aside too little runs out") {
  const Shape shape = AllShapes().front();
  const Outcome one = Run(shape, "clawlet", 5);
  const Outcome same = Run(shape, "clawlet", 5);
  CHECK(one.running_sum == same.running_sum);
  CHECK(one.starts == same.starts);
  CHECK(one.epsilon == same.epsilon);
  const Outcome requests = Run(shape, "requests", 5);
  CHECK(requests.missed_looks > 0);
  CHECK(requests.kills >= requests.missed_looks);
  CHECK(requests.missed_windows <= requests.missed_looks);
}

TEST_CASE("Clopper and Pearson's interval") {
  const Interval none = ClopperPearson(0, 3000);
  CHECK(none.low == 0);
  CHECK(none.high == Approx(1e-3).epsilon(0.01));  // three by n
  // From the tables.
  const Interval some = ClopperPearson(5, 100);
  CHECK(some.low == Approx(0.0164).epsilon(0.01));
  CHECK(some.high == Approx(0.1128).epsilon(0.01));
  CHECK(ClopperPearson(7, 7).high == 1);
  CHECK(ClopperPearson(0, 0).high == 1);
}

}  // namespace
}  // namespace claw::bench
