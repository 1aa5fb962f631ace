#include "agent/budget/plan.h"

#include <catch2/catch.hpp>
#include <limits>

#include "agent/base/bytes.h"

namespace claw::budget {
namespace {

PlanQuestion Question() {
  return {.capacity_bytes = 24 * kGiB,
          .trusted = 60,
          .untrusted = 40,
          .workload_bytes = 256 * kMiB,
          .runc = {.learned_bytes = 2 * kMiB, .prior_bytes = 16 * kMiB},
          .gvisor = {.learned_bytes = 20 * kMiB, .prior_bytes = 64 * kMiB}};
}

const PlanScenario& Find(const PlanAnswer& answer, const std::string& name) {
  for (const PlanScenario& scenario : answer.scenarios) {
    if (scenario.name == name) return scenario;
  }
  throw std::runtime_error(name);
}

TEST_CASE("the plan counts as admission does") {
  const BurstModel model;
  const PlanAnswer answer = *PlanCapacity(Question(), model);
  const int64_t allocatable = 24 * kGiB - kGiB - 164 * kMiB;
  CHECK(answer.allocatable_bytes == allocatable);
  CHECK(answer.kernel_bytes == 0);
  REQUIRE(answer.scenarios.size() == 3);
  const PlanScenario& runc = Find(answer, "runc");
  const PlanScenario& gvisor = Find(answer, "gvisor");
  const PlanScenario& hybrid = Find(answer, "hybrid");
  CHECK(runc.sandboxes() == MoreFit(allocatable, {}, model, Charge(256 * kMiB, 2 * kMiB)));
  CHECK(gvisor.sandboxes() == MoreFit(allocatable, {}, model, Charge(256 * kMiB, 20 * kMiB)));
  CHECK(gvisor.at_prior == MoreFit(allocatable, {}, model, Charge(256 * kMiB, 64 * kMiB)));
  CHECK(gvisor.without_overhead == MoreFit(allocatable, {}, model, Charge(256 * kMiB, 0)));
  CHECK(gvisor.sandboxes() < hybrid.sandboxes());
  CHECK(hybrid.sandboxes() < runc.sandboxes());
  CHECK_FALSE(runc.allowed);  // untrusted code would be in containers
  CHECK(hybrid.allowed);
  // 60 to 40, and the mix itself fits while one more does not.
  CHECK(hybrid.trusted == (hybrid.sandboxes() * 60 + 50) / 100);
  CHECK(hybrid.overhead_bytes == hybrid.trusted * 2 * kMiB + hybrid.untrusted * 20 * kMiB);
  const int64_t used = hybrid.workload_bytes + hybrid.overhead_bytes;
  CHECK(used <= allocatable);
  CHECK(used + 276 * kMiB > allocatable);
}

TEST_CASE("everything trusted may be in containers, and then the hybrid is just that") {
  PlanQuestion question = Question();
  question.untrusted = 0;
  const PlanAnswer answer = *PlanCapacity(question, BurstModel());
  CHECK(Find(answer, "runc").allowed);
  CHECK(Find(answer, "hybrid").sandboxes() == Find(answer, "runc").sandboxes());
  CHECK(Find(answer, "hybrid").untrusted == 0);
}

TEST_CASE("a guest holds fewer: its kernel takes a part") {
  PlanQuestion question = Question();
  question.vm = true;
  const PlanAnswer answer = *PlanCapacity(question, BurstModel());
  CHECK(answer.kernel_bytes == 24 * kGiB / 64 + 64 * kMiB);
  CHECK(Find(answer, "gvisor").sandboxes() <
        Find(*PlanCapacity(Question(), BurstModel()), "gvisor").sandboxes());
}

TEST_CASE("burstable sandboxes fit in larger numbers, once they are known") {
  PlanQuestion question = Question();
  question.request_bytes = 64 * kMiB;
  const auto used = static_cast<double>(64 * kMiB);
  question.runc_seen = {.weight = 100, .mean_sum = 100 * used, .square_sum = 100 * used * used};
  question.gvisor_seen = question.runc_seen;
  const PlanAnswer bursty = *PlanCapacity(question, BurstModel());
  CHECK(Find(bursty, "hybrid").sandboxes() >
        Find(*PlanCapacity(Question(), BurstModel()), "hybrid").sandboxes());
}

TEST_CASE("what cannot be answered is refused, and nothing overflows") {
  for (const double share : {-1.0, 1e7, std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity()}) {
    PlanQuestion question = Question();
    question.trusted = share;
    CHECK(PlanCapacity(question, BurstModel()).status().code() == StatusCode::kInvalidArgument);
  }
  PlanQuestion none = Question();
  none.trusted = none.untrusted = 0;
  CHECK_FALSE(PlanCapacity(none, BurstModel()).ok());
  PlanQuestion huge = Question();
  huge.capacity_bytes = std::numeric_limits<int64_t>::max();
  const PlanAnswer many = *PlanCapacity(huge, BurstModel());
  for (const PlanScenario& scenario : many.scenarios) {
    CHECK(scenario.sandboxes() == 1'000'000);
  }
  huge.workload_bytes = huge.capacity_bytes;
  const PlanAnswer nothing = *PlanCapacity(huge, BurstModel());
  for (const PlanScenario& scenario : nothing.scenarios) CHECK(scenario.sandboxes() == 0);
}

}  // namespace
}  // namespace claw::budget
