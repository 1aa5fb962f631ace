#include "agent/budget/chargeback.h"

#include <limits>
#include <random>

#include "tests/unit/metrics/metrics_fixture.h"

namespace claw::test {
namespace {

using std::chrono::seconds;

// A second: the fake clock goes on a little with every look.
bool IsAbout(double found, int64_t bytes, int64_t for_seconds) {
  const auto wanted = static_cast<double>(bytes) * static_cast<double>(for_seconds);
  return found >= wanted && found < wanted + static_cast<double>(bytes);
}

bool IsNotLess(const ByteSeconds& later, const ByteSeconds& earlier) {
  return later.workload >= earlier.workload && later.overhead >= earlier.overhead;
}

TEST_CASE("a charge comes to bytes times seconds, never to less than nothing") {
  const Memory guaranteed{
      .workload_bytes = 100 * kKiB, .overhead_bytes = 7 * kKiB, .cgroup_max_bytes = 107 * kKiB};
  const Time from = FromMicros(5'000'000);
  CHECK(budget::Accrued(guaranteed, from, from + seconds(3)) ==
        ByteSeconds{.workload = 300 * 1024, .overhead = 21 * 1024});
  CHECK(budget::Accrued(guaranteed, from, from + std::chrono::milliseconds(500)) ==
        ByteSeconds{.workload = 50 * 1024, .overhead = 3 * 1024});
  CHECK(budget::Accrued(guaranteed, from, from) == ByteSeconds{});
  CHECK(budget::Accrued(guaranteed, from, from - seconds(9)) == ByteSeconds{});
  Memory burstable = guaranteed;
  burstable.request_bytes = 40 * kKiB;
  CHECK(budget::Accrued(burstable, from, from + seconds(1)).workload == 40 * 1024);
  const int64_t most = std::numeric_limits<int64_t>::max();
  const Memory damaged{.workload_bytes = most, .overhead_bytes = -1};
  const ByteSeconds much = budget::Accrued(damaged, FromMicros(-most), FromMicros(most));
  CHECK(much.workload > 1e31);
  CHECK(much.overhead == 0);
}

TEST_CASE("a tenant is charged for as long as its sandbox holds memory, and no longer") {
  MetricsFixture node;
  node.AddTenant("acme");
  node.AddTenant("other");
  const Sandbox sandbox = node.Create("acme");
  const int64_t overhead = sandbox.resources.memory.overhead_bytes;
  REQUIRE(overhead > 0);
  node.clock().Advance(seconds(100));
  ByteSeconds charged = node.Charged("acme");
  CHECK(IsAbout(charged.workload, 128 * kMiB, 100));
  CHECK(IsAbout(charged.overhead, overhead, 100));
  CHECK(node.Of("acme").sandboxes == 1);
  CHECK(node.Of("acme").charged_workload_bytes == 128 * kMiB);
  CHECK(node.Of("acme").charged_overhead_bytes == overhead);
  CHECK(node.Charged("other") == ByteSeconds{});

  // The time in which nobody looks counts as well.
  node.clock().Advance(seconds(100));
  node.Restart();
  node.clock().Advance(seconds(100));
  charged = node.Charged("acme");
  CHECK(IsAbout(charged.workload, 128 * kMiB, 300));

  node.EndAndRelease(sandbox);
  const ByteSeconds total = node.Charged("acme");
  CHECK(IsNotLess(total, charged));
  CHECK(IsAbout(total.workload, 128 * kMiB, 300));
  CHECK(node.Of("acme").sandboxes == 0);
  CHECK(node.Of("acme").charged_workload_bytes == 0);
  node.clock().Advance(seconds(1000));
  CHECK(node.Charged("acme") == total);
  node.Restart();
  CHECK(node.Charged("acme") == total);
  REQUIRE(node.Delete(sandbox.id).ok());
  CHECK(node.Charged("acme") == total);
  node.Restart();
  CHECK(node.Charged("acme") == total);

  REQUIRE(node.Run(node.node().DeleteTenant({}, "acme", false)).ok());
  node.Restart();
  node.AddTenant("acme");
  CHECK(node.Charged("acme") == ByteSeconds{});
}

TEST_CASE("a total does not go down when the clock is set back") {
  MetricsFixture node;
  node.AddTenant("acme");
  const Sandbox first = node.Create("acme");
  const Sandbox second = node.Create("acme");
  node.clock().Advance(seconds(100));
  const ByteSeconds before = node.Charged("acme");
  node.clock().Advance(-seconds(5000));
  CHECK(node.Charged("acme") == before);
  const Sandbox third = node.Create("acme");
  node.clock().Advance(seconds(10));
  // Only what began after the change.
  CHECK(IsAbout(node.Charged("acme").workload - before.workload, 128 * kMiB, 10));
  node.EndAndRelease(first);
  CHECK(IsAbout(node.Charged("acme").workload - before.workload, 128 * kMiB, 10));
  node.EndAndRelease(third);
  REQUIRE(node.Delete(second.id).ok());
  const ByteSeconds total = node.Charged("acme");
  CHECK(IsNotLess(total, before));
  node.Restart();
  CHECK(node.Charged("acme") == total);
}

TEST_CASE("a start that is taken back was charged for the time that it took") {
  MetricsFixture node;
  node.AddTenant("acme");
  node.world().OnStep(drivers::Step::kCreate,
                      [&](const std::string&) { node.clock().Advance(seconds(20)); });
  node.world().Fail(drivers::Step::kStart, Unavailable("not today"));
  const bool leaves_traces = GENERATE(false, true);
  std::future<void> released;
  if (leaves_traces) {
    // What cannot be removed stays charged until it can.
    node.world().OnStep(drivers::Step::kStart, [&](const std::string& id) {
      node.world().Fail(drivers::Step::kDestroy, Unavailable("busy"));
      released = node.AwaitEvent("sandbox.released", id);
    });
  }
  CHECK_FALSE(node.TryCreate("acme").ok());
  if (leaves_traces) released.get();
  const ByteSeconds total = node.Charged("acme");
  CHECK(IsAbout(total.workload, 128 * kMiB, 20));
  CHECK(node.Of("acme").sandboxes == 0);
  node.clock().Advance(seconds(1000));
  node.Restart();
  CHECK(node.Charged("acme") == total);
}

TEST_CASE("what cannot be removed goes on being charged") {
  MetricsFixture node;
  node.AddTenant("acme");
  const Sandbox sandbox = node.Create("acme");
  node.clock().Advance(seconds(50));
  node.world().Fail(drivers::Step::kDestroy, Unavailable("busy"), drivers::FakeWorld::kAlways);
  auto exited = node.AwaitEvent("sandbox.exited", sandbox.id);
  REQUIRE(node.world().Exit(sandbox.id, 0).ok());
  exited.get();
  node.clock().Advance(seconds(50));
  CHECK_FALSE(node.Delete(sandbox.id).ok());
  node.clock().Advance(seconds(50));
  CHECK(IsAbout(node.Charged("acme").workload, 128 * kMiB, 150));
  node.world().Heal(drivers::Step::kDestroy);
  REQUIRE(node.Delete(sandbox.id).ok());
  const ByteSeconds total = node.Charged("acme");
  CHECK(IsAbout(total.workload, 128 * kMiB, 150));
  node.clock().Advance(seconds(50));
  CHECK(node.Charged("acme") == total);
}

TEST_CASE("whatever happens, a total only grows") {
  MetricsFixture node;
  node.AddTenant("acme");
  std::mt19937 random(GENERATE(1u, 2u, 3u, 4u));
  const auto below = [&random](unsigned bound) { return static_cast<int>(random() % bound); };
  std::vector<Sandbox> alive;
  ByteSeconds last;
  int64_t behind_seconds = 0;  // how far the clock is behind where it was
  for (int step = 0; step < 120; ++step) {
    const int what = below(8);
    CAPTURE(step, what);
    if (what <= 1) {
      if (what == 1) node.world().Fail(drivers::Step::kStart, Unavailable("not today"));
      const auto made = node.TryCreate("acme", 16 * kMiB);
      if (made.ok()) alive.push_back(*made);
    } else if (what <= 3 && !alive.empty()) {
      if (what == 2) node.EndAndRelease(alive.back());
      REQUIRE(node.Delete(alive.back().id).ok());
      alive.pop_back();
    } else if (what == 4) {
      const int64_t back = below(60);
      node.clock().Advance(-seconds(back));
      behind_seconds += back;
    } else if (what == 5 && behind_seconds == 0) {
      node.Restart();
    } else {
      const int64_t on = below(200);
      node.clock().Advance(seconds(on));
      behind_seconds = std::max<int64_t>(0, behind_seconds - on);
    }
    const ByteSeconds now = node.Charged("acme");
    CHECK(IsNotLess(now, last));
    last = now;
  }
}

}  // namespace
}  // namespace claw::test
