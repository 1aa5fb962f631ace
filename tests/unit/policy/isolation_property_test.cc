// Invariant I1 over everything that the decision can be asked: enumerated where that is finite,
// random where it is not.

#include <rapidcheck.h>
#include <catch2/catch.hpp>

#include "agent/policy/isolation.h"

namespace claw::policy {
namespace {

constexpr char kDigest[] =
    "sha256:1111111111111111111111111111111111111111111111111111111111111111";
constexpr char kOther[] = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

rc::Gen<IsolationClass> AnyClass() {
  return rc::gen::element(IsolationClass::kContainer, IsolationClass::kGvisor,
                          IsolationClass::kLegacyHardened);
}

CompatOverride AnyOverride() {
  CompatOverride given;
  given.image_digest = *rc::gen::element<std::string>(kDigest, kOther, "");
  given.isolation = *AnyClass();
  given.given_by = *rc::gen::element<std::string>("unix:root(0)", "");
  given.created_at = FromMicros(*rc::gen::inRange<int64_t>(-5, 6));
  given.expires_at = FromMicros(*rc::gen::inRange<int64_t>(-5, 6));
  return given;
}

IsolationInput AnyInput() {
  IsolationInput input;
  // Corrupt values too.
  input.trust = static_cast<Trust>(*rc::gen::inRange(-2, 5));
  if (*rc::gen::arbitrary<bool>()) input.wanted = *AnyClass();
  input.image = "app";
  input.image_digest = *rc::gen::element<std::string>(kDigest, kOther, "");
  input.signers = *rc::gen::container<std::vector<std::string>>(
      rc::gen::element<std::string>("house", "friend"));
  input.allowed_images = *rc::gen::container<std::vector<std::string>>(
      rc::gen::element<std::string>(kDigest, "signer:house", "signer:friend", "signer:"));
  input.compat = static_cast<CompatStatus>(*rc::gen::inRange(-1, 8));
  if (*rc::gen::arbitrary<bool>()) input.compat_override = AnyOverride();
  input.now = FromMicros(*rc::gen::inRange<int64_t>(-5, 6));
  for (std::string* problem :
       {&input.runtimes.container, &input.runtimes.gvisor, &input.runtimes.legacy_hardened}) {
    *problem = *rc::gen::weightedElement<std::string>({{4, ""}, {1, "it is gone"}});
  }
  input.node_class = *rc::gen::element(NodeClass::kStandard, NodeClass::kHardened);
  input.hardening_problem = *rc::gen::element<std::string>("", "no seccomp");
  input.other_tenant = *rc::gen::element<std::string>("", "acme");
  input.has_mounts = *rc::gen::arbitrary<bool>();
  return input;
}

Rules AnyRules() {
  return {.trusted_in_gvisor = *rc::gen::arbitrary<bool>(),
          .accept_degraded = *rc::gen::arbitrary<bool>(),
          .allow_overrides = *rc::gen::arbitrary<bool>(),
          .require_signer = *rc::gen::arbitrary<bool>()};
}

bool OverrideCounts(const IsolationInput& input, IsolationClass isolation) {
  if (!input.compat_override) return false;
  const CompatOverride& given = *input.compat_override;
  return given.isolation == isolation && given.image_digest == input.image_digest &&
         !given.given_by.empty() && given.created_at <= input.now && input.now < given.expires_at;
}

// How strong a class is beside another that the same workload could get.
int Strength(const Decision& decision) {
  if (!decision.isolation) return 3;
  switch (*decision.isolation) {
    case IsolationClass::kContainer:
      return 0;
    case IsolationClass::kLegacyHardened:
      return 1;
    case IsolationClass::kGvisor:
      return 2;
  }
  return -1;
}

void CheckInvariants(const IsolationInput& input, const Rules& rules) {
  const Decision decision = DecideIsolation(input, rules);
  const bool trusted = input.trust == Trust::kTrusted;
  // Either a class or a denial that says what was needed.
  RC_ASSERT(decision.isolation.has_value() == decision.denial.empty());
  RC_ASSERT(!decision.record.rule.empty());
  RC_ASSERT(!decision.record.reason.empty());
  if (!decision.isolation) {
    RC_ASSERT(!decision.needed.empty());
    RC_ASSERT(!decision.available.empty());
    return;
  }
  const IsolationClass isolation = *decision.isolation;
  RC_ASSERT(decision.record.isolation == isolation);
  RC_ASSERT(input.runtimes.Of(isolation).empty());
  if (input.wanted) RC_ASSERT(*input.wanted == isolation);
  switch (isolation) {
    case IsolationClass::kContainer:
      RC_ASSERT(trusted);
      RC_ASSERT(input.node_class == NodeClass::kStandard);
      RC_ASSERT(!rules.trusted_in_gvisor);
      break;
    case IsolationClass::kGvisor:
      RC_ASSERT(input.node_class == NodeClass::kStandard);
      RC_ASSERT(trusted || input.compat == CompatStatus::kCompatible ||
                (input.compat == CompatStatus::kAccepted && rules.accept_degraded) ||
                (rules.allow_overrides && OverrideCounts(input, IsolationClass::kGvisor)));
      break;
    case IsolationClass::kLegacyHardened:
      RC_ASSERT(!trusted);
      RC_ASSERT(input.node_class == NodeClass::kHardened);
      RC_ASSERT(input.hardening_problem.empty());
      RC_ASSERT(input.other_tenant.empty());
      RC_ASSERT(!input.has_mounts);
      RC_ASSERT(input.compat == CompatStatus::kIncompatible ||
                (rules.allow_overrides && OverrideCounts(input, IsolationClass::kLegacyHardened)));
      break;
  }
  if (!trusted && rules.require_signer) RC_ASSERT(!input.signers.empty());
}

TEST_CASE("untrusted code never gets a container of a standard node (I1)") {
  CHECK(rc::check("every decision", [] { CheckInvariants(AnyInput(), AnyRules()); }));
}

TEST_CASE("stricter rules never lead to a weaker class (I1)") {
  CHECK(rc::check("rules", [] {
    const IsolationInput input = AnyInput();
    // What the rules alone give: a stricter rule may choose a runtime that works where the other
    // one did not.
    IsolationInput whole = input;
    whole.runtimes = {.container = "", .gvisor = "", .legacy_hardened = ""};
    const Rules rules = AnyRules();
    Rules stricter = rules;
    if (*rc::gen::arbitrary<bool>()) stricter.trusted_in_gvisor = true;
    if (*rc::gen::arbitrary<bool>()) stricter.accept_degraded = false;
    if (*rc::gen::arbitrary<bool>()) stricter.allow_overrides = false;
    if (*rc::gen::arbitrary<bool>()) stricter.require_signer = true;
    RC_ASSERT(Strength(DecideIsolation(input, stricter)) >=
              Strength(DecideIsolation(whole, rules)));
  }));
}

TEST_CASE("a runtime that fails leads to a refusal and never to another class (I1)") {
  CHECK(rc::check("runtimes", [] {
    IsolationInput input = AnyInput();
    const Rules rules = AnyRules();
    const Decision broken = DecideIsolation(input, rules);
    input.runtimes = {.container = "", .gvisor = "", .legacy_hardened = ""};
    const Decision whole = DecideIsolation(input, rules);
    if (broken.isolation) RC_ASSERT(broken.isolation == whole.isolation);
    if (!whole.isolation) RC_ASSERT(!broken.isolation);
  }));
}

TEST_CASE("what ran before the trust was lowered does not hold after it (I1)") {
  CHECK(rc::check("trust lowered", [] {
    IsolationInput input = AnyInput();
    const Rules rules = AnyRules();
    input.trust = Trust::kTrusted;
    const Decision before = DecideIsolation(input, rules);
    input.trust = Trust::kUntrusted;
    const Decision after = DecideIsolation(input, rules);
    if (before.isolation == IsolationClass::kContainer) {
      RC_ASSERT(!StillHolds(IsolationClass::kContainer, after));
    }
  }));
}

TEST_CASE("every combination of the finite part is one of the rules of the house (I1)") {
  int combinations = 0;
  int allowed = 0;
  for (const Trust trust : {Trust::kUntrusted, Trust::kTrusted, static_cast<Trust>(77)}) {
    for (int compat = 0; compat <= static_cast<int>(CompatStatus::kIncompatible); ++compat) {
      for (const NodeClass node_class : {NodeClass::kStandard, NodeClass::kHardened}) {
        for (int bits = 0; bits < 1024; ++bits) {
          IsolationInput input;
          input.trust = trust;
          input.image_digest = kDigest;
          input.compat = static_cast<CompatStatus>(compat);
          input.node_class = node_class;
          input.hardening_problem = (bits & 1) != 0 ? "no seccomp" : "";
          input.other_tenant = (bits & 2) != 0 ? "acme" : "";
          input.has_mounts = (bits & 4) != 0;
          const auto problem = [bits](int bit) {
            return std::string((bits & bit) != 0 ? "it is gone" : "");
          };
          input.runtimes = {
              .container = problem(128), .gvisor = problem(256), .legacy_hardened = problem(512)};
          const Rules rules{.trusted_in_gvisor = (bits & 8) != 0,
                            .accept_degraded = (bits & 16) != 0,
                            .allow_overrides = (bits & 32) != 0,
                            .require_signer = (bits & 64) != 0};
          const Decision decision = DecideIsolation(input, rules);
          ++combinations;
          if (!decision.isolation) continue;
          ++allowed;
          const bool container = *decision.isolation == IsolationClass::kContainer;
          REQUIRE((!container || trust == Trust::kTrusted));
          REQUIRE((*decision.isolation == IsolationClass::kLegacyHardened) ==
                  (node_class == NodeClass::kHardened));
          REQUIRE(input.runtimes.Of(*decision.isolation).empty());
        }
      }
    }
  }
  CHECK(combinations == 3 * 6 * 2 * 1024);
  CHECK(allowed > 0);
}

}  // namespace
}  // namespace claw::policy
