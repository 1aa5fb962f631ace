// What explain says is what reserve does, over random targets and demands.

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>

#include "agent/placement/examine.h"
#include "tests/unit/placement/world.h"

namespace claw::placement {
namespace {

bool IsSame(const Explanation& a, const Explanation& b) {
  if (a.fits != b.fits || a.constraints.size() != b.constraints.size()) return false;
  if (a.offer.has_value() != b.offer.has_value() || a.score.total != b.score.total) return false;
  for (size_t i = 0; i < a.constraints.size(); ++i) {
    const Constraint& one = a.constraints[i];
    const Constraint& other = b.constraints[i];
    if (one.name != other.name || one.met != other.met || one.needed != other.needed ||
        one.available != other.available || one.refusal != other.refusal) {
      return false;
    }
  }
  return true;
}

void CheckAgreement(const Target& target, Examiner& examiner) {
  const Explanation explanation = examiner.Explain(target);
  const StatusOr<Offer> offer = examiner.Ask(target);
  const std::string obstacle(examiner.Obstacle(target));
  RC_CLASSIFY(obstacle.empty());
  RC_ASSERT(offer.ok() == obstacle.empty());
  RC_ASSERT(offer.ok() == explanation.fits);
  const auto unmet = std::find_if(explanation.constraints.begin(), explanation.constraints.end(),
                                  [](const Constraint& one) { return !one.met; });
  RC_ASSERT((unmet == explanation.constraints.end()) == explanation.fits);
  if (offer.ok()) {
    RC_ASSERT(explanation.offer.has_value());
    RC_ASSERT(explanation.offer->image_digest == offer->image_digest);
    RC_ASSERT(explanation.offer->memory == offer->memory);
    RC_ASSERT(explanation.offer->runtime == offer->runtime);
    RC_ASSERT(explanation.offer->decision.isolation == offer->decision.isolation);
  } else {
    RC_ASSERT(unmet->refusal.code() == offer.status().code());
    RC_ASSERT(unmet->refusal.message() == offer.status().message());
    RC_ASSERT(GetErrorDetail(unmet->refusal) == GetErrorDetail(offer.status()));
    RC_ASSERT(!GetErrorDetail(offer.status())->reason.empty());
  }
  for (const Constraint& one : explanation.constraints) {
    RC_ASSERT(!one.name.empty());
    RC_ASSERT(one.met == one.refusal.ok());
  }
  RC_ASSERT(IsSame(explanation, examiner.Explain(target)));
}

TEST_CASE("explaining, asking and looking for an obstacle are one answer") {
  rc::prop("any target and demand", [] {
    const Demand demand = AnyDemand();
    const Settings settings = AnySettings();
    Examiner shared(demand, settings);
    // Views of platforms are kept: what was asked before must not matter.
    for (int i = 0; i < 3; ++i) {
      const Target target = AnyTarget(StrCat("nodes/", i));
      CheckAgreement(target, shared);
      Examiner fresh(demand, settings);
      RC_ASSERT(IsSame(shared.Explain(target), fresh.Explain(target)));
    }
  });
}

TEST_CASE("what is admitted never takes a target beyond what it has (I2)") {
  rc::prop("admit until nothing fits", [] {
    const Settings settings = AnySettings();
    Target target = AnyTarget("host");
    for (int i = 0; i < 12; ++i) {
      const Demand demand = AnyDemand();
      Examiner examiner(demand, settings);
      const auto offer = examiner.Ask(target);
      if (!offer.ok()) continue;
      target.held.Put(Taken(StrCat("new", i), demand, *offer));
      RC_ASSERT(SaturatingAdd(target.held.charged_bytes(), target.other_bytes) <=
                target.allocatable_bytes);
      // Sandboxes that are alike are summed up in one go afterwards: that may round otherwise.
      const int64_t rounding = 1 + target.allocatable_bytes / 1'000'000'000'000;
      RC_ASSERT(RequiredBytes(target, settings) - rounding <= target.allocatable_bytes);
    }
  });
}

}  // namespace
}  // namespace claw::placement
