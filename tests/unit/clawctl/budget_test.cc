#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "agent/base/bytes.h"
#include "tests/unit/clawctl/fixture.h"

namespace claw::ctl::testing {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;

const std::string kDigits(64, 'a');

void Furnish(Fixture& node) {
  pb::Budget& budget = node.state().budget;
  budget.mutable_memory()->set_capacity_bytes(8 * kGiB);
  budget.mutable_memory()->set_reserved_bytes(kGiB);
  budget.mutable_memory()->set_allocatable_bytes(7 * kGiB);
  budget.mutable_memory()->set_charged_bytes(3 * kGiB);
  budget.mutable_memory()->set_available_bytes(4 * kGiB);
  budget.set_charged_workload_bytes(2 * kGiB);
  budget.set_charged_overhead_bytes(kGiB);
  budget.mutable_memory()->set_required_bytes(3 * kGiB);
  budget.set_measured_workload_bytes(500 * kMiB);
  budget.mutable_concurrency()->set_band("calm");
  for (const char* driver : {"gvisor", "runc"}) {
    pb::OverheadClass* one = budget.add_classes();
    one->set_image_digest("sha256:" + kDigits);
    one->set_image_family("registry/app");
    one->set_driver(driver);
    one->set_overhead_bytes(20 * kMiB);
    one->set_prior_bytes(64 * kMiB);
    one->set_more_fit(27);
    one->set_binding_constraint("limits.gvisor");
    pb::OverheadEstimate* level = one->add_levels();
    level->set_level("image");
    level->set_windows(1234);
    level->set_trust(0.5);
    level->set_estimate_bytes(20 * kMiB);
    one->add_samples()->set_bytes(17 * kMiB);
  }
}

TEST_CASE("the budget is a bar, its parts, and how many more fit", "[clawctl]") {
  Fixture node;
  Furnish(node);
  const auto shown = node.Ctl({"node", "budget", "show", "--memory", "256Mi"});
  CHECK(shown.code == 0);
  // Of 60 columns for 8 GiB: 1, 2, 1 and 4 GiB.
  CHECK_THAT(shown.out, Contains("[" + std::string(8, '#') + std::string(15, 'W') +
                                 std::string(8, 'O') + std::string(29, '.') + "]"));
  CHECK_THAT(shown.out, Contains("Each with 256 MiB of its own"));
  CHECK_THAT(shown.out, Contains("registry/app") && Contains("1234") && Contains("27"));
  const json parsed =
      json::parse(node.Ctl({"node", "budget", "show", "--memory", "256Mi", "-o", "json"}).out);
  CHECK(parsed["workload_bytes"] == StrCat(256 * kMiB));
  CHECK(parsed["classes"].size() == 2);
  CHECK(node.Ctl({"node", "budget", "show", "--memory", "much"}).code == 2);
}

TEST_CASE("explain shows the classes of an image, by name or digest", "[clawctl]") {
  Fixture node;
  Furnish(node);
  const auto all = node.Ctl({"node", "budget", "explain", "registry/app"});
  CHECK(all.code == 0);
  CHECK_THAT(all.out, Contains("gvisor") && Contains("runc") && Contains("17 MiB"));
  const auto one = node.Ctl(
      {"node", "budget", "explain", "sha256:aaaaaaaa", "--driver", "gvisor", "-o", "json"});
  CHECK(one.code == 0);
  const json parsed = json::parse(one.out);
  REQUIRE(parsed["items"].size() == 1);
  CHECK(parsed["items"][0]["driver"] == "gvisor");
  CHECK(node.Ctl({"node", "budget", "explain", "app:1.2"}).code == 0);
  CHECK(node.Ctl({"node", "budget", "explain", "pp"}).code == 3);
  const auto none = node.Ctl({"node", "budget", "explain", "other"});
  CHECK(none.code == 3);
  CHECK_THAT(none.err, Contains("`clawctl node budget`"));
}

TEST_CASE("without a word more `budget` shows it", "[clawctl]") {
  Fixture node;
  Furnish(node);
  const auto shown = node.Ctl({"node", "budget"});
  CHECK(shown.code == 0);
  CHECK(shown.out == node.Ctl({"node", "budget", "show"}).out);
  CHECK_THAT(shown.out, Contains("500 MiB by programs") && Contains("limits.gvisor"));
  CHECK_THAT(node.Ctl({"node", "budget", "--memory", "1Gi", "--memory-request", "256Mi"}).out,
             Contains("Each with 1 GiB of its own, of which 256 MiB are set aside"));
  CHECK(node.Ctl({"node", "budget", "shwo"}).code == 2);
}

TEST_CASE("a node under pressure and its bursts are described", "[clawctl]") {
  Fixture node;
  Furnish(node);
  pb::Budget& budget = node.state().budget;
  pb::Concurrency& now = *budget.mutable_concurrency();
  now.set_band("refuse");
  now.set_stall_percent(37);
  now.set_short_(true);
  now.set_sandboxes(12);
  now.set_max_sandboxes(40);
  now.set_pressure_limit(10);
  pb::DriverConcurrency& gvisor = *now.add_drivers();
  gvisor.set_driver("gvisor");
  gvisor.set_sandboxes(7);
  gvisor.set_starts_at_once(4);
  gvisor.set_starts_under_way(4);
  gvisor.set_starts_queued(9);
  budget.mutable_burst()->set_sandboxes(5);
  budget.mutable_burst()->set_need_bytes(3 * kGiB);
  budget.mutable_memory()->set_required_bytes(4 * kGiB);
  const std::string shown = node.Ctl({"node", "budget"}).out;
  CHECK_THAT(shown, Contains("refuse: programs wait for memory 37% of the time") &&
                        Contains("12 of at most 40") && Contains("to 10 sandboxes") &&
                        Contains("4 of 4 starts under way, 9 wait"));
  CHECK_THAT(shown, Contains("5 sandboxes") && Contains("3 GiB (by the bound"));
  CHECK_THAT(shown, Contains(std::string(8, 'O') + std::string(8, 'B')));
}

TEST_CASE("the plan of capacity is asked for and shown", "[clawctl]") {
  Fixture node;
  pb::CapacityPlan& plan = node.state().plan;
  plan.set_capacity_bytes(16 * kGiB);
  plan.set_kernel_bytes(320 * kMiB);
  pb::CapacityScenario& hybrid = *plan.add_scenarios();
  hybrid.set_name("hybrid");
  hybrid.set_sandboxes(57);
  hybrid.set_sandboxes_lost(3);
  hybrid.set_overhead_bytes(640 * kMiB);
  hybrid.set_allowed(true);
  pb::CapacityClass& gvisor = *plan.add_classes();
  gvisor.set_driver("gvisor");
  gvisor.set_confidence("medium");
  const auto shown = node.Ctl({"node", "capacity", "--mix", "trusted=60,untrusted=40", "--memory",
                               "256Mi", "--vm", "16Gi", "--image", "app"});
  CHECK(shown.code == 0);
  CHECK_THAT(shown.out, Contains("hybrid") && Contains("57") && Contains("640 MiB") &&
                            Contains("medium") && Contains("320 MiB (assumed)"));
  REQUIRE(node.state().plans.size() == 1);
  const pb::PlanCapacityRequest asked = node.state().plans.front();
  CHECK(asked.trusted() == 60);
  CHECK(asked.untrusted() == 40);
  CHECK(asked.workload_bytes() == 256 * kMiB);
  CHECK(asked.capacity_bytes() == 16 * kGiB);
  CHECK(asked.vm());
  CHECK(asked.image() == "app");
  const auto parsed = json::parse(node.Ctl({"node", "capacity", "-o", "json"}).out);
  CHECK(parsed["scenarios"][0]["sandboxes"] == "57");
  for (const char* mix : {"trusted", "trusted=-1", "trusted=1,trusted=2", "other=1", "trusted=x"}) {
    CHECK(node.Ctl({"node", "capacity", "--mix", mix}).code == 2);
  }
  CHECK(node.Ctl({"node", "capacity", "--host", "8Gi", "--vm", "8Gi"}).code == 2);
}

}  // namespace
}  // namespace claw::ctl::testing
