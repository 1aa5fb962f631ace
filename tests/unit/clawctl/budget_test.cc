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
  for (const char* driver : {"gvisor", "runc"}) {
    pb::OverheadClass* one = budget.add_classes();
    one->set_image_digest("sha256:" + kDigits);
    one->set_image_family("registry/app");
    one->set_driver(driver);
    one->set_overhead_bytes(20 * kMiB);
    one->set_prior_bytes(64 * kMiB);
    one->set_more_fit(27);
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
  CHECK_THAT(none.err, Contains("clawctl node budget show"));
}

}  // namespace
}  // namespace claw::ctl::testing
