// Invariant I1 for a whole node over the fake driver: whatever the tenant, the image, the config,
// and whatever fails or changes in the middle of a start, untrusted code is in no container of the
// host's kernel on a standard node.

#include <rapidcheck.h>
#include <catch2/catch.hpp>
#include <set>

#include "tests/unit/rpc/node_fixture.h"

namespace claw::test {
namespace {

using drivers::FakeWorld;
using drivers::Step;
using lifecycle::Task;

enum class Verdict { kNone, kCompatible, kIncompatible, kStale };
enum class Given { kNothing, kGvisor, kLegacy, kExpired };
enum class Change { kNothing, kTrustLowered, kRuntimeReplaced, kHardeningLost };

struct Case {
  bool trusted = *rc::gen::arbitrary<bool>();
  std::optional<IsolationClass> wanted = *rc::gen::weightedElement<std::optional<IsolationClass>>(
      {{6, std::nullopt},
       {1, IsolationClass::kContainer},
       {1, IsolationClass::kGvisor},
       {1, IsolationClass::kLegacyHardened}});
  Verdict verdict = *rc::gen::element(Verdict::kNone, Verdict::kCompatible, Verdict::kIncompatible,
                                      Verdict::kStale);
  Given given = *rc::gen::element(Given::kNothing, Given::kGvisor, Given::kLegacy, Given::kExpired);
  bool hardened = *rc::gen::weightedElement<bool>({{3, false}, {1, true}});
  policy::Rules rules{.trusted_in_gvisor = *rc::gen::arbitrary<bool>(),
                      .allow_overrides = *rc::gen::weightedElement<bool>({{3, true}, {1, false}})};
  std::optional<Step> fails = *rc::gen::weightedElement<std::optional<Step>>({{8, std::nullopt},
                                                                              {1, Step::kCreate},
                                                                              {1, Step::kStart},
                                                                              {1, Step::kDestroy},
                                                                              {1, Step::kProbe}});
  FakeWorld::When when = *rc::gen::element(FakeWorld::When::kBefore, FakeWorld::When::kAfter);
  std::string reason = *rc::gen::element<std::string>("PROOF_FAILED", "RUNTIME_MISSING", "");
  Change change = *rc::gen::element(Change::kNothing, Change::kTrustLowered,
                                    Change::kRuntimeReplaced, Change::kHardeningLost);
  Step moment = *rc::gen::element(Step::kCreate, Step::kStart);
};

// Which drivers ran the tenant's program.
class Witness {
 public:
  drivers::Program Program() {
    return [this](const std::shared_ptr<drivers::FakeProcess>& process) -> Status {
      const std::lock_guard lock(mutex_);
      drivers_.insert(std::string(process->driver()));
      return absl::OkStatus();
    };
  }
  std::set<std::string> drivers() {
    const std::lock_guard lock(mutex_);
    return drivers_;
  }

 private:
  std::mutex mutex_;
  std::set<std::string> drivers_;
};

Task<bool> IsTrusted(lifecycle::Node& node) {
  co_return node.GetTenant("acme")->trust == Trust::kTrusted;
}

Task<std::vector<Sandbox>> List(lifecycle::Node& node) { co_return node.ListSandboxes(); }

lifecycle::NodeConfig ConfigOf(const Case& test) {
  lifecycle::NodeConfig config;
  config.node_class = test.hardened ? NodeClass::kHardened : NodeClass::kStandard;
  config.rules = test.rules;
  config.stop_grace = std::chrono::milliseconds(1);
  return config;
}

class Race {
 public:
  explicit Race(const Case& test) : test_(test), fixture_(ConfigOf(test)) {
    Tenant tenant;
    tenant.name = "acme";
    tenant.trust = test_.trusted ? Trust::kTrusted : Trust::kUntrusted;
    Must(fixture_.Run(node().CreateTenant({}, tenant)).status());
    const auto image = fixture_.Run(node().ImportImage({}, "rootfs:/app", "app", "", {}, {}));
    Must(image.status());
    if (test_.verdict != Verdict::kNone) TestImage();
    if (test_.given != Given::kNothing) Override(image->front().digest);
  }

  StatusOr<Sandbox> Start() {
    fixture_.world().SetProgram(witness_.Program());
    if (test_.fails) {
      fixture_.world().Fail(
          *test_.fails,
          MakeError(StatusCode::kFailedPrecondition, "it broke", {.reason = test_.reason}), 1,
          test_.when);
    }
    // Only once: what is cleaned up takes no steps of these kinds, but a probe does.
    auto done = std::make_shared<std::atomic<bool>>(false);
    fixture_.world().OnStep(test_.moment, [this, done](const std::string&) {
      if (!done->exchange(true)) Happen();
    });
    SandboxSpec spec;
    spec.tenant = "acme";
    spec.image = "app";
    spec.isolation = test_.wanted;
    const StatusOr<Sandbox> started = fixture_.Run(node().CreateSandbox({}, spec, false));
    if (lowered_.valid()) Must(lowered_.get().status());
    return started;
  }

  bool TrustedAtTheEnd() { return fixture_.Run(IsTrusted(node())); }
  std::vector<Sandbox> Sandboxes() { return fixture_.Run(List(node())); }
  std::vector<std::string> Running() { return fixture_.world().running(); }
  std::set<std::string> RanUnder() { return witness_.drivers(); }

 private:
  lifecycle::Node& node() { return fixture_.node(); }

  static void Must(const Status& status) {
    if (!status.ok()) throw std::runtime_error(ToLogString(status));
  }

  void TestImage() {
    const int code = test_.verdict == Verdict::kIncompatible ? 1 : 0;
    fixture_.world().SetProgram([code](const std::shared_ptr<drivers::FakeProcess>& process) {
      process->Exit(code);
      return absl::OkStatus();
    });
    CompatTestSpec spec;
    spec.image = "app";
    Must(fixture_.Run(node().TestImage({}, spec, [](const std::string&) {})).status());
    if (test_.verdict == Verdict::kStale) fixture_.world().SetRuntimeVersion("2.0");
  }

  void Override(const std::string& digest) {
    CompatOverride wanted;
    wanted.image_digest = digest;
    wanted.reason = "because";
    wanted.given_by = "unix:root(0)";
    wanted.isolation =
        test_.given == Given::kLegacy ? IsolationClass::kLegacyHardened : IsolationClass::kGvisor;
    const auto made = fixture_.Run(
        node().CreateOverride({.actor = "unix:root(0)"}, wanted, std::chrono::hours(1)));
    // A rule of the config may forbid it.
    if (made.ok() && test_.given == Given::kExpired) {
      fixture_.clock().Advance(std::chrono::hours(2));
    }
  }

  void Happen() {
    if (test_.change == Change::kRuntimeReplaced) fixture_.world().SetRuntimeVersion("3.0");
    if (test_.change == Change::kHardeningLost) {
      fixture_.ChangeMachine([](MachineFacts& facts) {
        facts.settings["kernel.unprivileged_bpf_disabled"] = Setting("0");
      });
    }
    if (test_.change != Change::kTrustLowered) return;
    const lifecycle::TenantPatch patch{.trust = Trust::kUntrusted};
    lowered_ = fixture_.Begin(node().UpdateTenant({}, "acme", patch));
    while (TrustedAtTheEnd()) std::this_thread::yield();
  }

  const Case test_;
  Witness witness_;
  std::future<StatusOr<Tenant>> lowered_;
  NodeFixture fixture_;
};

TEST_CASE("I1 holds for a node whatever fails or changes in the middle of a start") {
  CHECK(rc::check([] {
    const Case test;
    Race race(test);
    const StatusOr<Sandbox> started = race.Start();
    RC_TAG(std::string(started.ok() ? ToString(started->isolation) : "refused"));
    const std::set<std::string> ran = race.RanUnder();
    // What was never trusted was never in the host's kernel, not for a moment.
    if (!test.trusted) RC_ASSERT(ran.count("runc") == 0);
    if (!test.hardened) RC_ASSERT(ran.count("hardened") == 0);
    if (test.hardened) RC_ASSERT(ran.count("runc") == 0);
    if (started.ok() && test.wanted) RC_ASSERT(started->isolation == *test.wanted);

    const std::vector<Sandbox> sandboxes = race.Sandboxes();
    for (const std::string& id : race.Running()) {
      const auto record = std::find_if(sandboxes.begin(), sandboxes.end(),
                                       [&id](const Sandbox& one) { return one.id == id; });
      // Nothing runs that nobody knows of.
      RC_ASSERT(record != sandboxes.end());
      if (!test.hardened && !race.TrustedAtTheEnd()) {
        RC_ASSERT(record->isolation == IsolationClass::kGvisor);
        RC_ASSERT(record->driver == "gvisor");
      }
    }
    if (started.ok()) RC_ASSERT(!race.Running().empty());
  }));
}

}  // namespace
}  // namespace claw::test
