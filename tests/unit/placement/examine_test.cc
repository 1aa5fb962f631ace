// Each constraint alone: one world in which it, and nothing else, refuses, and how that is mended.

#include "agent/placement/examine.h"

#include <catch2/catch.hpp>
#include <functional>

#include "tests/unit/placement/world.h"

namespace claw::placement {
namespace {

struct Case {
  const char* what;
  std::function<void(World&)> spoil;
  StatusCode code;
  const char* obstacle;
  ErrorDetail detail;
  std::function<void(World&)> mend;
};

constexpr std::chrono::milliseconds kSoon{10'000};

ErrorDetail Detail(const char* reason, const char* constraint, const char* needed,
                   const char* available, bool may_pass = false) {
  ErrorDetail detail{
      .reason = reason, .constraint = constraint, .needed = needed, .available = available};
  if (may_pass) detail.retry_after = kSoon;
  return detail;
}

void CheckFits(const World& world) {
  Examiner examiner(world.demand, world.settings);
  const Target target = world.Place();
  const auto offer = examiner.Ask(target);
  INFO(ToLogString(offer.status()));
  REQUIRE(offer.ok());
  CHECK(examiner.Obstacle(target).empty());
  const Explanation explanation = examiner.Explain(target);
  CHECK(explanation.fits);
  CHECK(explanation.offer.has_value());
  for (const Constraint& one : explanation.constraints) CHECK(one.met);
}

void CheckRefused(const World& world, const Case& expected) {
  Examiner examiner(world.demand, world.settings);
  const Target target = world.Place();
  const Status refusal = examiner.Ask(target).status();
  CHECK(refusal.code() == expected.code);
  const auto detail = GetErrorDetail(refusal);
  REQUIRE(detail);
  CHECK(detail->reason == expected.detail.reason);
  CHECK(detail->constraint == expected.detail.constraint);
  CHECK(detail->needed == expected.detail.needed);
  CHECK(detail->available == expected.detail.available);
  CHECK(detail->retry_after == expected.detail.retry_after);
  CHECK(examiner.Obstacle(target) == expected.obstacle);
  const Explanation explanation = examiner.Explain(target);
  CHECK_FALSE(explanation.fits);
  int unmet = 0;
  for (const Constraint& one : explanation.constraints) {
    if (one.met) continue;
    ++unmet;
    CHECK(one.name == (detail->constraint.empty() ? expected.obstacle : detail->constraint));
    CHECK(one.needed == detail->needed);
    CHECK(one.available == detail->available);
    CHECK(one.refusal == refusal);
  }
  CHECK(unmet == 1);
}

void CheckAll(const std::vector<Case>& cases) {
  CheckFits(World());
  for (const Case& one : cases) {
    INFO(one.what);
    World world;
    one.spoil(world);
    CheckRefused(world, one);
    one.mend(world);
    CheckFits(world);
  }
}

void Distrust(World& world) { world.demand.tenant.trust = Trust::kUntrusted; }

void Learn(World& world, CompatResult result, const std::string& version = "release-1") {
  world.demand.images["amd64"].verdicts = {Verdict(result, version)};
}

TEST_CASE("what image, processor and policy ask of a target") {
  CheckAll({
      {"another architecture",
       [](World& w) {
         w.demand.images = {{"arm64", {.digest = kArmDigest}}};
       },
       StatusCode::kFailedPrecondition, "image.architecture",
       Detail("ARCHITECTURE_MISMATCH", "image.architecture", "arm64", "amd64"),
       [](World& w) { w.demand.images["amd64"] = {.digest = kDigest}; }},
      {"no image at all", [](World& w) { w.demand.images.clear(); },
       StatusCode::kFailedPrecondition, "image.architecture",
       Detail("ARCHITECTURE_MISMATCH", "image.architecture", "unknown", "amd64"),
       [](World& w) { w.demand.images["amd64"] = {.digest = kDigest}; }},
      {"an emulated processor", [](World& w) { w.platform.emulated = true; },
       StatusCode::kFailedPrecondition, "placement.allow_emulated",
       Detail("EMULATED", "placement.allow_emulated", "a native target", "an emulated one"),
       [](World& w) { w.settings.allow_emulated = true; }},
      {"never tested", Distrust, StatusCode::kPermissionDenied, "isolation",
       Detail("COMPAT_UNTESTED", "untrusted-untested", "a verdict of this node's gVisor",
              "UNTESTED"),
       [](World& w) { Learn(w, CompatResult::kCompatible); }},
      {"tested with another gVisor",
       [](World& w) {
         Distrust(w);
         Learn(w, CompatResult::kCompatible, "release-0");
       },
       StatusCode::kPermissionDenied, "isolation",
       Detail("COMPAT_STALE", "untrusted-stale", "a verdict of this node's gVisor", "STALE"),
       [](World& w) { Learn(w, CompatResult::kCompatible); }},
      {"a runtime that does not work",
       [](World& w) { w.platform.runtimes[0].problem = "not installed"; },
       StatusCode::kFailedPrecondition, "isolation",
       Detail("RUNTIME_MISSING", "runtime-missing", "a runtime of class container",
              "driver runc: not installed"),
       [](World& w) { w.demand.spec.isolation = IsolationClass::kGvisor; }},
      {"no such runtime", [](World& w) { w.platform.runtimes.erase(w.platform.runtimes.begin()); },
       StatusCode::kFailedPrecondition, "isolation",
       Detail("RUNTIME_MISSING", "runtime-missing", "a runtime of class container",
              "this node has no driver for it"),
       [](World& w) { w.settings.policy.trusted_in_gvisor = true; }},
      {"an image that is not allowed",
       [](World& w) { w.demand.tenant.allowed_images = {"signer:house"}; },
       StatusCode::kPermissionDenied, "isolation",
       Detail("IMAGE_NOT_ALLOWED", "image-not-allowed", "signer:house", "sha256:1111, not signed"),
       [](World& w) { w.demand.images["amd64"].signers = {"house"}; }},
  });
}

void Harden(World& world) {
  Distrust(world);
  world.platform.node_class = NodeClass::kHardened;
  world.platform.runtimes.push_back({.driver = "stripped",
                                     .isolation = IsolationClass::kLegacyHardened,
                                     .problem = "",
                                     .version = "1"});
  Learn(world, CompatResult::kIncompatible);
}

TEST_CASE("a hardened target takes one tenant at a time, and only if it is one") {
  CheckAll({
      {"another tenant is there",
       [](World& w) {
         Harden(w);
         w.Hold(Running("1", "globex"));
         w.Hold(Running("2", "acme"));
       },
       StatusCode::kPermissionDenied, "isolation",
       Detail("NODE_TAKEN", "hardened-one-tenant", "no sandboxes of another tenant", "globex"),
       [](World& w) { w.target.held.Drop("1"); }},
      {"its checks fail",
       [](World& w) {
         Harden(w);
         w.platform.hardening_problem = "no seccomp";
       },
       StatusCode::kPermissionDenied, "isolation",
       Detail("NODE_NOT_HARDENED", "hardened-not-proven", "every check passed", "no seccomp"),
       [](World& w) { w.platform.hardening_problem.clear(); }},
      {"trusted code",
       [](World& w) {
         Harden(w);
         w.demand.tenant.trust = Trust::kTrusted;
       },
       StatusCode::kPermissionDenied, "isolation",
       Detail("NODE_HARDENED", "hardened-no-trusted", "a node of class standard",
              "a node of class hardened"),
       Distrust},
  });
}

TEST_CASE("an offer is not made where another tenant is in the way of the class") {
  World world;
  Harden(world);
  world.Hold(Running("1", "globex"));
  Examiner examiner(world.demand, world.settings);
  CHECK_FALSE(examiner.Explain(world.Place()).offer.has_value());
  world.target.held.Drop("1");
  // What was refused a moment ago is not remembered.
  const auto offer = examiner.Ask(world.Place());
  REQUIRE(offer.ok());
  CHECK(offer->runtime.driver == "stripped");
}

TEST_CASE("quotas hold on each target by itself") {
  const auto with = [](TenantQuota quota) {
    return [quota](World& w) {
      w.demand.tenant.quota = quota;
      w.demand.spec.workload_bytes = 128 * kMiB;
      w.demand.spec.cpu_millis = 500;
      Sandbox held = Running("1", "acme", 128 * kMiB);
      held.spec.cpu_millis = 500;
      w.Hold(held);
      w.Hold(Running("2", "globex", 128 * kMiB));
    };
  };
  const auto drop = [](World& w) { w.target.held.Drop("1"); };
  CheckAll({
      {"sandboxes", with({.sandboxes = 1}), StatusCode::kResourceExhausted, "tenant.quota",
       Detail("QUOTA_EXCEEDED", "quota.sandboxes", "1", "0"), drop},
      {"memory", with({.workload_bytes = 255 * kMiB}), StatusCode::kResourceExhausted,
       "tenant.quota", Detail("QUOTA_EXCEEDED", "quota.workload_bytes", "128 MiB", "127 MiB"),
       [](World& w) { w.demand.tenant.quota.workload_bytes += kMiB; }},
      {"CPU", with({.cpu_millis = 999}), StatusCode::kResourceExhausted, "tenant.quota",
       Detail("QUOTA_EXCEEDED", "quota.cpu_millis", "500", "499"),
       [](World& w) { w.demand.tenant.quota.cpu_millis = 1000; }},
      {"CPU without a ceiling", [](World& w) { w.demand.tenant.quota.cpu_millis = 1000; },
       StatusCode::kInvalidArgument, "tenant.quota", Detail("CPU_UNBOUNDED", "cpu_millis", "", ""),
       [](World& w) { w.demand.spec.cpu_millis = 1000; }},
  });
}

void HoldWith(World& world, const std::string& tenant, bool exclusive,
              const std::vector<std::string>& avoided = {}) {
  Sandbox sandbox = Running("wish", tenant);
  sandbox.spec.exclusive = exclusive;
  sandbox.spec.avoid_tenants = avoided;
  world.Hold(sandbox);
}

TEST_CASE("tenants that are to be apart are kept apart, whoever asked for it") {
  CheckAll({
      {"it wants to be alone",
       [](World& w) {
         w.demand.spec.exclusive = true;
         w.Hold(Running("1", "acme"));
         w.Hold(Running("2", "globex"));
       },
       StatusCode::kResourceExhausted, "exclusive",
       Detail("NOT_ALONE", "exclusive", "no other tenant", "tenant globex", true),
       [](World& w) { w.target.held.Drop("2"); }},
      {"another is alone", [](World& w) { HoldWith(w, "globex", true); },
       StatusCode::kResourceExhausted, "exclusive",
       Detail("TAKEN_ALONE", "exclusive", "no exclusive sandbox of another tenant", "tenant globex",
              true),
       [](World& w) { HoldWith(w, "globex", false); }},
      {"it avoids another",
       [](World& w) {
         w.demand.spec.avoid_tenants = {"initech", "globex"};
         w.Hold(Running("1", "globex"));
         w.Hold(Running("2", "hooli"));
       },
       StatusCode::kResourceExhausted, "avoid_tenants",
       Detail("TENANTS_APART", "avoid_tenants", "nothing of tenant globex", "tenant globex", true),
       [](World& w) { w.target.held.Drop("1"); }},
      {"another avoids it",
       [](World& w) {
         HoldWith(w, "globex", false, {"initech", "acme"});
       },
       StatusCode::kResourceExhausted, "avoid_tenants",
       Detail("TENANTS_APART", "avoid_tenants", "nothing of tenant globex", "tenant globex", true),
       [](World& w) { HoldWith(w, "globex", false, {"initech"}); }},
  });
}

TEST_CASE("an exclusive sandbox of its own tenant is not in the way") {
  World world;
  HoldWith(world, "acme", true, {"globex"});
  CheckFits(world);
  world.demand.spec.exclusive = true;
  CheckFits(world);
}

TEST_CASE("labels, taints, cordons and what others found hold a demand back") {
  const auto taint = [](std::string value) {
    return [value](World& w) {
      w.target.taints = {{.key = "gpu", .value = value}};
      w.demand.spec.tolerations = {"gpu=no", "gp"};
    };
  };
  const auto tolerate = [](const char* toleration) {
    return [toleration](World& w) { w.demand.spec.tolerations.emplace_back(toleration); };
  };
  const Status hold = MakeError(StatusCode::kUnavailable, "short of memory",
                                {.reason = "PRESSURE", .constraint = "node.pressure"});
  CheckAll({
      {"no label", [](World& w) { w.demand.spec.node_selector["zone"] = "a"; },
       StatusCode::kFailedPrecondition, "node_selector",
       Detail("LABELS_DIFFER", "node_selector", "zone=a", "none"),
       [](World& w) {
         w.target.labels = {{"zone", "a"}, {"rack", "7"}};
       }},
      {"another value",
       [](World& w) {
         w.demand.spec.node_selector = {{"rack", "7"}, {"zone", "a"}};
         w.target.labels = {{"rack", "7"}, {"zone", "b"}};
       },
       StatusCode::kFailedPrecondition, "node_selector",
       Detail("LABELS_DIFFER", "node_selector", "rack=7, zone=a", "rack=7, zone=b"),
       [](World& w) { w.target.labels["zone"] = "a"; }},
      {"a taint, tolerated by its key", taint("yes"), StatusCode::kFailedPrecondition,
       "tolerations",
       Detail("NOT_TOLERATED", "tolerations", "a toleration of gpu=yes", "gpu=no, gp"),
       tolerate("gpu")},
      {"a taint, tolerated by its value", taint("yes"), StatusCode::kFailedPrecondition,
       "tolerations",
       Detail("NOT_TOLERATED", "tolerations", "a toleration of gpu=yes", "gpu=no, gp"),
       tolerate("gpu=yes")},
      {"a taint without a value", taint(""), StatusCode::kFailedPrecondition, "tolerations",
       Detail("NOT_TOLERATED", "tolerations", "a toleration of gpu", "gpu=no, gp"),
       tolerate("gpu")},
      {"a cordon", [](World& w) { w.target.cordoned = "it is repaired"; },
       StatusCode::kResourceExhausted, "node.cordon",
       Detail("CORDONED", "node.cordon", "a target that takes new work", "it is repaired", true),
       [](World& w) { w.target.cordoned.clear(); }},
      {"a hold",
       [=](World& w) {
         w.target.holds = {absl::OkStatus(), hold};
       },
       StatusCode::kUnavailable, "node.hold", Detail("PRESSURE", "node.pressure", "", ""),
       [](World& w) { w.target.holds = {absl::OkStatus()}; }},
      {"a hold of its driver",
       [=](World& w) {
         w.target.driver_holds = {{"runc", {hold}}, {"gvisor", {absl::OkStatus()}}};
       },
       StatusCode::kUnavailable, "node.hold", Detail("PRESSURE", "node.pressure", "", ""),
       [](World& w) { w.demand.spec.isolation = IsolationClass::kGvisor; }},
  });
}

TEST_CASE("CPU, tasks, disk and memory have to suffice") {
  CheckAll({
      {"more CPUs than there are", [](World& w) { w.demand.spec.cpu_millis = 8001; },
       StatusCode::kFailedPrecondition, "node.cpus",
       Detail("CPU_EXHAUSTED", "node.cpus", "8001 millis", "8000 millis"),
       [](World& w) { w.demand.spec.cpu_millis = 8000; }},
      {"more CPU than the others leave",
       [](World& w) {
         w.target.cpu_millis = 3000;
         w.demand.spec.cpu_millis = 2001;
         Sandbox held = Running("1", "globex");
         held.spec.cpu_millis = 1000;
         w.Hold(held);
       },
       StatusCode::kResourceExhausted, "node.cpu_millis",
       Detail("CPU_EXHAUSTED", "node.cpu_millis", "2001 millis", "2000 millis", true),
       [](World& w) { w.demand.spec.cpu_millis = 2000; }},
      {"more CPU than all may have together",
       [](World& w) {
         w.target.cpu_millis = 3000;
         w.demand.spec.cpu_millis = 3001;
       },
       StatusCode::kFailedPrecondition, "node.cpu_millis",
       Detail("CPU_EXHAUSTED", "node.cpu_millis", "3001 millis", "3000 millis"),
       [](World& w) { w.target.cpu_millis = 0; }},
      {"tasks",
       [](World& w) {
         w.target.pids = 99;
         w.demand.spec.pids_max = 100;
       },
       StatusCode::kResourceExhausted, "node.pids",
       Detail("PIDS_EXHAUSTED", "node.pids", "100 tasks", "99 tasks", true),
       [](World& w) { w.target.pids = 100; }},
      {"disk",
       [](World& w) {
         w.target.disk_needed_bytes = 100;
         w.target.disk_bytes = 99;
       },
       StatusCode::kResourceExhausted, "node.disk",
       Detail("DISK_EXHAUSTED", "node.disk", "100 bytes", "99 bytes", true),
       [](World& w) { w.target.disk_bytes = 100; }},
      {"memory that others hold",
       [](World& w) {
         w.target.allocatable_bytes = 236 * kMiB - 1;
         w.target.other_bytes = 36 * kMiB;
         w.Hold(Running("1", "globex", 64 * kMiB));
       },
       StatusCode::kResourceExhausted, "node.memory.allocatable_bytes",
       Detail("MEMORY_EXHAUSTED", "node.memory.allocatable_bytes", "142606336 bytes",
              "142606335 bytes", true),
       [](World& w) { ++w.target.allocatable_bytes; }},
      {"memory that nobody holds", [](World& w) { w.target.allocatable_bytes = 136 * kMiB - 1; },
       StatusCode::kResourceExhausted, "node.memory.allocatable_bytes",
       Detail("MEMORY_EXHAUSTED", "node.memory.allocatable_bytes", "142606336 bytes",
              "142606335 bytes"),
       [](World& w) { ++w.target.allocatable_bytes; }},
  });
}

TEST_CASE("the image of an offer is the one for the target's architecture") {
  World world;
  world.demand.images["arm64"] = {.digest = kArmDigest};
  CHECK(Examiner(world.demand, world.settings).Ask(world.Place())->image_digest == kDigest);
  world.platform.architecture = "arm64";
  const auto offer = Examiner(world.demand, world.settings).Ask(world.Place());
  REQUIRE(offer.ok());
  CHECK(offer->image_digest == kArmDigest);
  CHECK(offer->runtime.driver == "runc");
  CHECK(offer->decision.isolation == IsolationClass::kContainer);
  CHECK(offer->memory == budget::Charge(128 * kMiB, 8 * kMiB));
}

}  // namespace
}  // namespace claw::placement
