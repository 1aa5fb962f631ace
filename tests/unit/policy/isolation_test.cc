#include "agent/policy/isolation.h"

#include <catch2/catch.hpp>

namespace claw::policy {
namespace {

constexpr char kDigest[] =
    "sha256:1111111111111111111111111111111111111111111111111111111111111111";

IsolationInput Untrusted(CompatStatus compat) {
  IsolationInput input;
  input.image = "app:1";
  input.image_digest = kDigest;
  input.compat = compat;
  input.now = FromMicros(1'000'000);
  input.runtimes = {.container = "", .gvisor = "", .legacy_hardened = ""};
  input.has_mounts = false;
  return input;
}

IsolationInput Trusted() {
  IsolationInput input = Untrusted(CompatStatus::kUntested);
  input.trust = Trust::kTrusted;
  return input;
}

IsolationInput OnHardened(IsolationInput input) {
  input.node_class = NodeClass::kHardened;
  input.hardening_problem.clear();
  return input;
}

CompatOverride OverrideFor(IsolationClass isolation) {
  return {.image_digest = kDigest,
          .isolation = isolation,
          .reason = "needed today",
          .given_by = "unix:root(0)",
          .created_at = FromMicros(0),
          .expires_at = FromMicros(2'000'000)};
}

std::string DenialOf(const IsolationInput& input, const Rules& rules = {}) {
  const Decision decision = DecideIsolation(input, rules);
  CHECK_FALSE(decision.isolation.has_value());
  CHECK(ToStatus(decision).code() == (decision.denial == "RUNTIME_MISSING"
                                          ? StatusCode::kFailedPrecondition
                                          : StatusCode::kPermissionDenied));
  return decision.denial;
}

IsolationClass ClassOf(const IsolationInput& input, const Rules& rules = {}) {
  const Decision decision = DecideIsolation(input, rules);
  INFO(decision.denial << ": " << decision.record.reason);
  REQUIRE(decision.isolation.has_value());
  CHECK(decision.record.isolation == *decision.isolation);
  CHECK(ToStatus(decision).ok());
  return *decision.isolation;
}

TEST_CASE("on a standard node trusted code runs in a container, tested code under gVisor") {
  CHECK(ClassOf(Trusted()) == IsolationClass::kContainer);
  CHECK(ClassOf(Untrusted(CompatStatus::kCompatible)) == IsolationClass::kGvisor);
  CHECK(ClassOf(Untrusted(CompatStatus::kAccepted)) == IsolationClass::kGvisor);
}

TEST_CASE("untrusted code without a verdict that lets it run is told how to get one") {
  CHECK(DenialOf(Untrusted(CompatStatus::kUntested)) == "COMPAT_UNTESTED");
  CHECK(DenialOf(Untrusted(CompatStatus::kStale)) == "COMPAT_STALE");
  CHECK(DenialOf(Untrusted(CompatStatus::kDegraded)) == "COMPAT_DEGRADED");
  CHECK(DenialOf(Untrusted(CompatStatus::kIncompatible)) == "COMPAT_INCOMPATIBLE");
  const Decision decision = DecideIsolation(Untrusted(CompatStatus::kUntested), {});
  CHECK(decision.record.reason.find("clawctl node compat test app:1") != std::string::npos);
}

TEST_CASE("a caller can ask for a stronger class and for no weaker one") {
  IsolationInput input = Trusted();
  input.wanted = IsolationClass::kGvisor;
  CHECK(ClassOf(input) == IsolationClass::kGvisor);
  input = Untrusted(CompatStatus::kCompatible);
  input.wanted = IsolationClass::kContainer;
  CHECK(DenialOf(input) == "ISOLATION_NOT_ALLOWED");
  input.wanted = IsolationClass::kLegacyHardened;
  CHECK(DenialOf(input) == "ISOLATION_NOT_ALLOWED");
}

TEST_CASE("a hardened node takes incompatible code that is not trusted, and nothing else") {
  CHECK(ClassOf(OnHardened(Untrusted(CompatStatus::kIncompatible))) ==
        IsolationClass::kLegacyHardened);
  CHECK(DenialOf(OnHardened(Trusted())) == "NODE_HARDENED");
  for (const CompatStatus status :
       {CompatStatus::kCompatible, CompatStatus::kAccepted, CompatStatus::kDegraded,
        CompatStatus::kUntested, CompatStatus::kStale}) {
    CHECK(DenialOf(OnHardened(Untrusted(status))) == "NODE_HARDENED");
  }
}

TEST_CASE("a hardened node has to be one, serves one tenant, and mounts nothing") {
  IsolationInput input = OnHardened(Untrusted(CompatStatus::kIncompatible));
  input.hardening_problem = "unprivileged users can load BPF programs";
  CHECK(DenialOf(input) == "NODE_NOT_HARDENED");
  input = OnHardened(Untrusted(CompatStatus::kIncompatible));
  input.other_tenant = "acme";
  CHECK(DenialOf(input) == "NODE_TAKEN");
  input = OnHardened(Untrusted(CompatStatus::kIncompatible));
  input.has_mounts = true;
  CHECK(DenialOf(input) == "MOUNT_NOT_ALLOWED");
}

TEST_CASE("an override counts for its digest, its class and its time") {
  IsolationInput input = Untrusted(CompatStatus::kIncompatible);
  input.compat_override = OverrideFor(IsolationClass::kGvisor);
  CHECK(ClassOf(input) == IsolationClass::kGvisor);
  CHECK(DecideIsolation(input, {}).record.override_by == "unix:root(0)");
  CHECK(DenialOf(input, {.allow_overrides = false}) == "COMPAT_INCOMPATIBLE");
  input.now = FromMicros(2'000'000);
  CHECK(DenialOf(input) == "COMPAT_INCOMPATIBLE");
  input.now = FromMicros(1);
  input.compat_override->image_digest = "sha256:another";
  CHECK(DenialOf(input) == "COMPAT_INCOMPATIBLE");
  input.compat_override = OverrideFor(IsolationClass::kGvisor);
  input.compat_override->given_by.clear();
  CHECK(DenialOf(input) == "COMPAT_INCOMPATIBLE");

  input.compat_override = OverrideFor(IsolationClass::kLegacyHardened);
  CHECK(DenialOf(input) == "COMPAT_INCOMPATIBLE");
  input.compat = CompatStatus::kCompatible;
  CHECK(ClassOf(OnHardened(input)) == IsolationClass::kLegacyHardened);
  input.compat_override = OverrideFor(IsolationClass::kContainer);
  CHECK(DenialOf(OnHardened(input)) == "NODE_HARDENED");
}

TEST_CASE("a tenant's images can be limited to digests and to signers") {
  IsolationInput input = Trusted();
  input.allowed_images = {"sha256:another", "signer:house"};
  CHECK(DenialOf(input) == "IMAGE_NOT_ALLOWED");
  input.signers = {"house"};
  CHECK(ClassOf(input) == IsolationClass::kContainer);
  input.signers = {"signer:house"};
  CHECK(DenialOf(input) == "IMAGE_NOT_ALLOWED");
  input.allowed_images = {kDigest};
  CHECK(ClassOf(input) == IsolationClass::kContainer);
}

TEST_CASE("the rules of a node make it stricter") {
  CHECK(ClassOf(Trusted(), {.trusted_in_gvisor = true}) == IsolationClass::kGvisor);
  CHECK(DenialOf(Untrusted(CompatStatus::kAccepted), {.accept_degraded = false}) ==
        "COMPAT_DEGRADED");
  CHECK(DenialOf(Untrusted(CompatStatus::kCompatible), {.require_signer = true}) ==
        "SIGNER_REQUIRED");
  IsolationInput input = Untrusted(CompatStatus::kCompatible);
  input.signers = {"house"};
  CHECK(ClassOf(input, {.require_signer = true}) == IsolationClass::kGvisor);
}

TEST_CASE("a class whose runtime does not work is refused, and nothing else takes its place") {
  const std::string problem = "no runsc in /usr/bin";
  IsolationInput input = Untrusted(CompatStatus::kCompatible);
  input.runtimes.gvisor = problem;
  CHECK(DenialOf(input) == "RUNTIME_MISSING");
  CHECK(DecideIsolation(input, {}).record.rule == "runtime-missing");
  CHECK(DecideIsolation(input, {}).available == problem);
  // It is what has to be mended before the image can be tested, whatever is known of it.
  input.compat = CompatStatus::kUntested;
  CHECK(DenialOf(input) == "RUNTIME_MISSING");
  input.compat_override = OverrideFor(IsolationClass::kGvisor);
  CHECK(DenialOf(input) == "RUNTIME_MISSING");
  IsolationInput trusted = Trusted();
  trusted.runtimes.gvisor = problem;
  CHECK(ClassOf(trusted) == IsolationClass::kContainer);
  trusted.wanted = IsolationClass::kGvisor;
  CHECK(DenialOf(trusted) == "RUNTIME_MISSING");
  trusted = Trusted();
  trusted.runtimes.container = "no runc";
  CHECK(DenialOf(trusted) == "RUNTIME_MISSING");

  IsolationInput legacy = OnHardened(Untrusted(CompatStatus::kIncompatible));
  legacy.runtimes.legacy_hardened = "no runc";
  CHECK(DenialOf(legacy) == "RUNTIME_MISSING");
  legacy.runtimes.legacy_hardened.clear();
  legacy.runtimes.gvisor = problem;
  CHECK(ClassOf(legacy) == IsolationClass::kLegacyHardened);
  legacy.compat = CompatStatus::kUntested;
  CHECK(DenialOf(legacy) == "RUNTIME_MISSING");
  CHECK(DenialOf([] {
          IsolationInput unknown = Trusted();
          unknown.runtimes = {};
          return unknown;
        }()) == "RUNTIME_MISSING");
}

TEST_CASE("nothing decided yet means the stronger class, and nothing allowed") {
  CHECK_FALSE(Decision{}.isolation.has_value());
  CHECK(DecisionRecord{}.isolation == IsolationClass::kGvisor);
  CHECK_FALSE(DecideIsolation(IsolationInput{}, {}).isolation.has_value());
}

TEST_CASE("what runs may go on in the same class or in a stronger one") {
  const Decision container = DecideIsolation(Trusted(), {});
  CHECK(StillHolds(IsolationClass::kContainer, container));
  CHECK(StillHolds(IsolationClass::kGvisor, container));
  CHECK_FALSE(StillHolds(IsolationClass::kLegacyHardened, container));
  const Decision gvisor = DecideIsolation(Untrusted(CompatStatus::kCompatible), {});
  CHECK_FALSE(StillHolds(IsolationClass::kContainer, gvisor));
  CHECK_FALSE(StillHolds(IsolationClass::kLegacyHardened, gvisor));
  const Decision denied = DecideIsolation(Untrusted(CompatStatus::kUntested), {});
  CHECK_FALSE(StillHolds(IsolationClass::kGvisor, denied));
}

TEST_CASE("a verdict of another gVisor is stale, and a fresh one wins") {
  CompatVerdict verdict{.image_digest = kDigest,
                        .runtime_version = "1",
                        .platform = "ptrace",
                        .architecture = "amd64",
                        .result = CompatResult::kDegraded};
  CHECK(StatusOf({}, "1", "ptrace", "amd64") == CompatStatus::kUntested);
  CHECK(StatusOf({verdict}, "2", "ptrace", "amd64") == CompatStatus::kStale);
  CHECK(StatusOf({verdict}, "1", "systrap", "amd64") == CompatStatus::kStale);
  CHECK(StatusOf({verdict}, "1", "ptrace", "arm64") == CompatStatus::kStale);
  CHECK(StatusOf({verdict}, "1", "ptrace", "amd64") == CompatStatus::kDegraded);
  CompatVerdict older = verdict;
  older.runtime_version = "0";
  older.result = CompatResult::kCompatible;
  CHECK(StatusOf({older, verdict}, "1", "ptrace", "amd64") == CompatStatus::kDegraded);
  verdict.accepted_by = "unix:root(0)";
  CHECK(StatusOf({verdict}, "1", "ptrace", "amd64") == CompatStatus::kAccepted);
  verdict.result = CompatResult::kIncompatible;
  CHECK(StatusOf({verdict}, "1", "ptrace", "amd64") == CompatStatus::kIncompatible);
}

}  // namespace
}  // namespace claw::policy
