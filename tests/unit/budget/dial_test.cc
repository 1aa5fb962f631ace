#include "agent/budget/dial.h"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>
#include <cmath>

#include "agent/base/bytes.h"

namespace claw::budget {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A machine that is looked at every two seconds.
class Machine {
 public:
  explicit Machine(DialRules rules = {.short_bytes = 100 * kMiB}) : dial_(rules) { Look(0); }

  // Two seconds in which some task waits for this share of the time.
  PressureBand Look(double stall) {
    now_.at += step;
    now_.some_micros += std::llround(stall * static_cast<double>(step.count()));
    dial_.Look({.pressure = now_, .at_own_limit = at_own_limit, .running = running});
    return dial_.band();
  }
  PressureBand Look(double stall, int times) {
    for (int i = 0; i < times; ++i) Look(stall);
    return dial_.band();
  }

  Dial& dial() { return dial_; }
  MemoryPressure& now() { return now_; }

  microseconds step = seconds(2);
  int64_t at_own_limit = 0;
  int64_t running = 20;

 private:
  MemoryPressure now_{.available_bytes = kGiB};
  Dial dial_;
};

std::string ReasonOf(const Status& status) {
  return GetErrorDetail(status).value_or(ErrorDetail{}).reason;
}

TEST_CASE("bands go up at once, and down one by one after it has been calm") {
  Machine machine;
  CHECK(machine.Look(0.04) == PressureBand::kCalm);
  CHECK(machine.dial().settled());
  CHECK(machine.Look(0.06) == PressureBand::kShrink);
  CHECK(machine.dial().AdmitStart(20).ok());
  CHECK(machine.Look(0.30) == PressureBand::kRefuse);
  const Status refused = machine.dial().AdmitStart(20);
  CHECK(ReasonOf(refused) == "MEMORY_PRESSURE");
  CHECK(GetErrorDetail(refused)->retry_after == milliseconds(10'000));
  CHECK(GetErrorDetail(refused)->available == "a stall of 30%");
  // Between half of the threshold and the threshold nothing moves.
  CHECK(machine.Look(0.07, 20) == PressureBand::kRefuse);
  CHECK(machine.Look(0.01, 4) == PressureBand::kRefuse);
  CHECK(machine.Look(0.01) == PressureBand::kShrink);
  CHECK(machine.Look(0.01, 4) == PressureBand::kShrink);
  CHECK(machine.Look(0.01) == PressureBand::kCalm);
}

TEST_CASE("one moment of calm does not end a band") {
  Machine machine;
  machine.Look(0.30);
  for (int i = 0; i < 10; ++i) {
    CHECK(machine.Look(0.0, 4) == PressureBand::kRefuse);
    CHECK(machine.Look(0.20) == PressureBand::kRefuse);
  }
}

TEST_CASE("a tenant that thrashes at its own limit does not hold the node up") {
  Machine machine;
  machine.at_own_limit = 1;
  CHECK(machine.Look(0.90, 5) == PressureBand::kCalm);
  CHECK(machine.dial().explained());
  CHECK_FALSE(machine.dial().limit());
  // Unless the node is short indeed.
  machine.now().available_bytes = 50 * kMiB;
  CHECK(machine.Look(0.90) == PressureBand::kRefuse);
  CHECK_FALSE(machine.dial().explained());
  CHECK(machine.dial().is_short());
}

TEST_CASE("eviction takes a hard stall and want of memory, twice in a row") {
  Machine machine;
  CHECK(machine.Look(0.95, 10) == PressureBand::kRefuse);  // there is memory
  machine.now().group_limit_hits += 7;
  CHECK(machine.Look(0.95) == PressureBand::kRefuse);
  CHECK(machine.Look(0.95) == PressureBand::kRefuse);  // no more hits: not in a row
  ++machine.now().group_limit_hits;
  machine.Look(0.95);
  ++machine.now().group_limit_hits;
  CHECK(machine.Look(0.95) == PressureBand::kEvict);
  CHECK(machine.Look(0.0, 5) == PressureBand::kRefuse);
}

TEST_CASE("that the sandboxes ran out together dials back, however short the stall") {
  Machine machine;
  machine.now().group_ooms = 1;
  CHECK(machine.Look(0) == PressureBand::kRefuse);
  CHECK(machine.dial().limit() == 18);
}

TEST_CASE("the limit falls by a tenth, rises by one, and is forgotten in the end") {
  Machine machine;
  machine.Look(0.30);
  CHECK(machine.dial().limit() == 18);
  CHECK_FALSE(machine.dial().settled());
  machine.Look(0.30);  // two seconds later: not again so soon
  CHECK(machine.dial().limit() == 18);
  machine.Look(0.30, 2);
  CHECK(machine.dial().limit() == 16);
  machine.running = 16;
  machine.Look(0.0, 10);
  REQUIRE(machine.dial().band() == PressureBand::kCalm);
  const int64_t limit = *machine.dial().limit();
  CHECK(limit >= 16);
  const Status refused = machine.dial().AdmitStart(limit);
  CHECK(ReasonOf(refused) == "CONCURRENCY_DIALLED_BACK");
  CHECK(GetErrorDetail(refused)->retry_after.has_value());
  CHECK(machine.dial().AdmitStart(limit - 1).ok());
  machine.Look(0.0, 30);  // a minute: twelve steps, of which those of 2 s fall on every third look
  CHECK(*machine.dial().limit() >= limit + 9);
  CHECK(*machine.dial().limit() <= limit + 12);
  // Less than half of it is used: nothing is learned by raising it.
  machine.running = 2;
  const int64_t frozen = *machine.dial().limit();
  machine.Look(0.0, 30);
  CHECK(machine.dial().limit() == frozen);
  machine.Look(0.0, 300);
  CHECK_FALSE(machine.dial().limit());
  CHECK(machine.dial().settled());
}

TEST_CASE("the limit never falls below one") {
  Machine machine;
  machine.running = 1;
  machine.Look(0.9, 50);
  CHECK(machine.dial().limit() == 1);
  CHECK(machine.dial().band() == PressureBand::kRefuse);
}

TEST_CASE("an old look is replaced by the kernel's own average") {
  Dial dial;
  MemoryPressure pressure{.at = seconds(1), .some_micros = 0, .available_bytes = kGiB};
  dial.Look({.pressure = pressure});
  // In an hour 1,000 s were lost, but not lately.
  pressure.at += seconds(3600);
  pressure.some_micros += 1'000'000'000;
  CHECK(dial.StallOf(pressure) == 0);
  pressure.some_avg10_percent = 35;
  CHECK(dial.StallOf(pressure) == Approx(0.35));
}

TEST_CASE("counters that go back, and a clock that stands, do no harm") {
  Machine machine;
  machine.now().group_limit_hits = 10;
  machine.Look(0);
  machine.now().group_limit_hits = 0;  // the cgroup was made anew
  machine.now().some_micros = 0;
  CHECK(machine.Look(0) == PressureBand::kCalm);
  CHECK_FALSE(machine.dial().is_short());
  machine.step = seconds(0);
  CHECK(machine.Look(1.0) == PressureBand::kCalm);
}

TEST_CASE("whatever is seen, nothing starts above the limit and the limit is at least one") {
  rc::prop("random looks", [] {
    Machine machine;
    for (int i = *rc::gen::inRange(0, 200); i > 0; --i) {
      machine.running = *rc::gen::inRange<int64_t>(0, 100);
      machine.at_own_limit = *rc::gen::inRange<int64_t>(0, 2);
      machine.step = milliseconds(*rc::gen::inRange(0, 20'000));
      machine.now().available_bytes = *rc::gen::inRange<int64_t>(0, 200) * kMiB;
      machine.now().group_limit_hits += *rc::gen::inRange<int64_t>(0, 2);
      machine.Look(*rc::gen::inRange(0, 100) / 100.0);
      const auto limit = machine.dial().limit();
      if (limit) {
        RC_ASSERT(*limit >= 1);
        RC_ASSERT(!machine.dial().AdmitStart(*limit).ok());
      }
      if (machine.dial().band() >= PressureBand::kRefuse) {
        RC_ASSERT(!machine.dial().AdmitStart(0).ok());
      }
    }
  });
}

}  // namespace
}  // namespace claw::budget
