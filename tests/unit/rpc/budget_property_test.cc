// Invariant I2 for a whole node over the fake driver: whatever is started, removed, measured, fails
// or is interrupted by a restart, the sum of charges stays within what is allocatable, and is the
// sum over the records.

#include <rapidcheck.h>

#include <catch2/catch.hpp>

#include "tests/unit/rpc/node_fixture.h"

namespace claw::test {
namespace {

using drivers::FakeWorld;
using drivers::Step;
using lifecycle::Task;

constexpr int64_t kAllocatable = 2 * kGiB;

struct Seen {
  lifecycle::MemoryView memory{};
  std::vector<Sandbox> sandboxes{};
};

Task<Seen> Look(lifecycle::Node& node) {
  co_return Seen{.memory = node.memory(), .sandboxes = node.ListSandboxes()};
}

lifecycle::NodeConfig Config() {
  lifecycle::NodeConfig config;
  config.reserves.system_bytes = 6 * kGiB;
  config.stop_grace = std::chrono::milliseconds(1);
  config.eviction_grace = std::chrono::milliseconds(0);
  config.dial.short_bytes = 100 * kMiB;
  return config;
}

class Ledger {
 public:
  Ledger() : fixture_(Config()) {
    for (const auto& [name, trust] :
         {std::pair("house", Trust::kTrusted), std::pair("guest", Trust::kUntrusted)}) {
      Tenant tenant;
      tenant.name = name;
      tenant.trust = trust;
      Must(fixture_.Run(node().CreateTenant({}, tenant)).status());
    }
    const auto image = fixture_.Run(node().ImportImage({}, "rootfs:/app", "app", "", {}, {}));
    Must(image.status());
    CompatOverride value;
    value.image_digest = image->front().digest;
    value.isolation = IsolationClass::kGvisor;
    value.reason = "this is about memory";
    Must(fixture_.Run(node().CreateOverride({}, value, std::chrono::hours(700))).status());
  }

  void Act() {
    switch (*rc::gen::weightedElement<int>(
        {{8, 0}, {3, 1}, {3, 2}, {2, 3}, {1, 4}, {1, 5}, {1, 6}, {1, 7}})) {
      case 0:
        return Create();
      case 1:
        return Remove();
      case 2:
        return Measure();
      case 3:
        return Fail();
      case 4:
        return fixture_.Restart();
      case 5:
        return Exit();
      case 6:
        return Press();
      default:
        fixture_.world().Reboot();
        return fixture_.Restart();
    }
  }

  void Check() {
    const Seen seen = fixture_.Run(Look(node()));
    uint64_t sum = 0;
    for (const Sandbox& sandbox : seen.sandboxes) {
      if (!sandbox.released) {
        sum += static_cast<uint64_t>(ChargedBytes(sandbox.resources.memory));
      }
    }
    RC_ASSERT(seen.memory.allocatable_bytes == kAllocatable);
    RC_ASSERT(seen.memory.charged_bytes == static_cast<int64_t>(sum));
    RC_ASSERT(seen.memory.charged_bytes <= kAllocatable);
    RC_ASSERT(seen.memory.charged_bytes ==
              seen.memory.charged_workload_bytes + seen.memory.charged_overhead_bytes);
    RC_ASSERT(seen.memory.required_bytes >= seen.memory.charged_bytes);
  }

 private:
  static void Must(const Status& status) {
    if (!status.ok()) throw std::runtime_error(ToLogString(status));
  }

  lifecycle::Node& node() { return fixture_.node(); }

  std::string Any() {
    const Seen seen = fixture_.Run(Look(node()));
    if (seen.sandboxes.empty()) return "none";
    return seen
        .sandboxes[static_cast<size_t>(
            *rc::gen::inRange<int64_t>(0, static_cast<int64_t>(seen.sandboxes.size())))]
        .id;
  }

  void Create() {
    SandboxSpec spec;
    spec.tenant = *rc::gen::element("house", "guest");
    spec.image = "app";
    spec.workload_bytes = *rc::gen::inRange<int64_t>(16, 600) * kMiB;
    if (*rc::gen::arbitrary<bool>()) {
      spec.request_bytes = std::max(kMinWorkloadBytes, spec.workload_bytes / 4);
    }
    // Some are refused: that is the point.
    (void)fixture_.Run(node().CreateSandbox({}, spec, false));
  }

  void Remove() { (void)fixture_.Run(node().DeleteSandbox({}, Any(), true, true)); }

  void Measure() {
    const int64_t bytes = *rc::gen::inRange<int64_t>(0, 1024) * kMiB;
    (void)fixture_.world().SetMemoryUsage(Any(), bytes);
    fixture_.Run(node().Measure());
    fixture_.clock().Advance(std::chrono::seconds(60));
    fixture_.Run(node().Measure());
  }

  void Fail() {
    const auto step = *rc::gen::element(Step::kCreate, Step::kStart, Step::kDestroy);
    const auto when = *rc::gen::element(FakeWorld::When::kBefore, FakeWorld::When::kAfter);
    fixture_.world().Fail(step, Internal("it broke"), 1, when);
  }

  void Exit() { (void)fixture_.world().Exit(Any(), 1); }

  // A moment of pressure, which may evict, and calm after it.
  void Press() {
    for (const double stall : {0.9, 0.9, 0.9, 0.0, 0.0, 0.0}) {
      fixture_.ChangePressure([&](MemoryPressure& pressure) {
        pressure.at += std::chrono::seconds(6);
        pressure.some_micros += static_cast<int64_t>(stall * 6e6);
        if (stall > 0) ++pressure.group_limit_hits;
      });
      fixture_.Run(node().LookAtPressure());
    }
  }

  NodeFixture fixture_;
};

TEST_CASE("I2 holds for a node whatever is started, measured, fails or interrupts it") {
  CHECK(rc::check("random operations", [] {
    Ledger ledger;
    for (int i = *rc::gen::inRange(5, 40); i > 0; --i) {
      ledger.Act();
      ledger.Check();
    }
  }));
}

}  // namespace
}  // namespace claw::test
