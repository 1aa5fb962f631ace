#include "agent/budget/limits.h"

#include <rapidcheck/catch.h>

#include <catch2/catch.hpp>

#include "agent/base/bytes.h"
#include "agent/budget/evict.h"

namespace claw::budget {
namespace {

Time At(int64_t seconds) { return FromMicros(seconds * 1'000'000); }

TEST_CASE("caps bind for all and for each driver, and say which") {
  const Caps caps{.sandboxes = 10, .by_driver = {{"gvisor", 3}, {"runc", 0}}};
  Counts counts{.sandboxes = 9, .by_driver = {{"gvisor", 2}, {"runc", 7}}};
  CHECK(CheckCaps(caps, counts, "gvisor").ok());
  counts.by_driver["gvisor"] = 3;
  const auto of_driver = GetErrorDetail(CheckCaps(caps, counts, "gvisor"));
  REQUIRE(of_driver);
  CHECK(of_driver->reason == "SANDBOX_CAP");
  CHECK(of_driver->constraint == "limits.gvisor");
  CHECK(of_driver->needed == "4 sandboxes");
  CHECK(of_driver->available == "3 sandboxes");
  CHECK(of_driver->retry_after.has_value());
  CHECK(CheckCaps(caps, counts, "runc").ok());  // 0 is no cap
  counts.sandboxes = 10;
  CHECK(GetErrorDetail(CheckCaps(caps, counts, "runc"))->constraint == "limits.sandboxes");
  CHECK(CheckCaps({}, counts, "gvisor").ok());
}

TEST_CASE("the narrowest bound is the one that binds") {
  Room room{.more = 100, .constraint = "node.memory.allocatable_bytes"};
  BoundByCaps({.sandboxes = 50, .by_driver = {{"gvisor", 20}}},
              {.sandboxes = 10, .by_driver = {{"gvisor", 5}}}, "gvisor", room);
  CHECK(room.more == 15);
  CHECK(room.constraint == "limits.gvisor");
  room.Bound(40, "wider");
  CHECK(room.constraint == "limits.gvisor");
  room.Bound(-3, "overfull");  // the cap was lowered under what runs
  CHECK(room.more == 0);
  CHECK(room.constraint == "overfull");
}

TEST_CASE("who is over its request goes first, then the lower priority, then the youngest") {
  const EvictionCandidate within{.id = "within",
                                 .guaranteed = false,
                                 .used_bytes = 10,
                                 .request_bytes = 20,
                                 .priority = -5,
                                 .started_at = At(9)};
  const EvictionCandidate over{.id = "over",
                               .guaranteed = false,
                               .used_bytes = 30,
                               .request_bytes = 20,
                               .priority = 5,
                               .started_at = At(1)};
  EvictionCandidate cheap = over;
  cheap.id = "cheap";
  cheap.priority = 1;
  EvictionCandidate young = cheap;
  young.id = "young";
  young.started_at = At(5);
  CHECK(ChooseVictim({within, over})->id == "over");
  CHECK(ChooseVictim({over, cheap})->id == "cheap");
  CHECK(ChooseVictim({cheap, young})->id == "young");
  EvictionCandidate further = young;
  further.id = "further";
  further.used_bytes = 40;
  CHECK(ChooseVictim({young, further})->id == "further");
  CHECK(ChooseVictim({within})->id == "within");
  CHECK_FALSE(ChooseVictim({}));
}

TEST_CASE("a guaranteed sandbox within its request is never evicted") {
  rc::prop("random sandboxes", [] {
    std::vector<EvictionCandidate> candidates;
    for (int i = *rc::gen::inRange(0, 20); i > 0; --i) {
      candidates.push_back({.id = std::to_string(i),
                            .guaranteed = *rc::gen::arbitrary<bool>(),
                            .used_bytes = *rc::gen::inRange<int64_t>(0, 10),
                            .request_bytes = *rc::gen::inRange<int64_t>(0, 10),
                            .priority = *rc::gen::inRange<int64_t>(-3, 3),
                            .started_at = At(*rc::gen::inRange(0, 5))});
    }
    const auto victim = ChooseVictim(candidates);
    bool any = false;
    for (const EvictionCandidate& one : candidates) {
      const bool may_go = !one.guaranteed || one.used_bytes > one.request_bytes;
      any = any || may_go;
      // Nobody who is over its request stays while one within it goes.
      if (victim && may_go && one.over_bytes() > 0) RC_ASSERT(victim->over_bytes() > 0);
    }
    RC_ASSERT(victim.has_value() == any);
    if (victim) RC_ASSERT(!victim->guaranteed || victim->used_bytes > victim->request_bytes);
  });
}

}  // namespace
}  // namespace claw::budget
