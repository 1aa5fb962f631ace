#include "agent/budget/ledger.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <limits>
#include <vector>

namespace claw::budget {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

Holdings Fixed(int64_t bytes) { return {.fixed_bytes = bytes}; }

const BurstModel& Model() {
  static const BurstModel model;
  return model;
}

TEST_CASE("allocatable is what the reserves leave") {
  CHECK(Allocatable(100, {.system_bytes = 10, .agent_bytes = 20, .eviction_bytes = 30}) == 40);
  CHECK(Allocatable(100, {.system_bytes = 200}) == 0);
  CHECK(Allocatable(0, {}) == 0);
  CHECK(Allocatable(kMax, {.system_bytes = kMax, .agent_bytes = kMax, .eviction_bytes = 1}) == 0);
}

TEST_CASE("a charge is the workload and its overhead, and never wraps") {
  const Memory memory = Charge(64 * kMiB, 16 * kMiB);
  CHECK(memory.workload_bytes == 64 * kMiB);
  CHECK(memory.overhead_bytes == 16 * kMiB);
  CHECK(memory.cgroup_max_bytes == 80 * kMiB);
  CHECK(Charge(kMax, 1).cgroup_max_bytes == kMax);
  CHECK(Charge(kMax - 1, kMax - 1).cgroup_max_bytes == kMax);
}

TEST_CASE("what fits to the byte is admitted, one more is not") {
  CHECK(Admit(100, Fixed(60), Model(), Charge(30, 10)).ok());
  CHECK_FALSE(Admit(100, Fixed(60), Model(), Charge(30, 11)).ok());
  CHECK_FALSE(Admit(0, Fixed(0), Model(), Charge(1, 0)).ok());
  CHECK_FALSE(Admit(kMax - 1, Fixed(0), Model(), Charge(kMax, 0)).ok());
  CHECK_FALSE(Admit(100, Fixed(kMax), Model(), Charge(1, 0)).ok());
  CHECK_FALSE(
      Admit(100, Fixed(101), Model(), Charge(1, 0)).ok());  // reserves were raised under what runs
}

TEST_CASE("as many more fit as are admitted one after the other") {
  CHECK(MoreFit(100, Fixed(20), Model(), Charge(30, 10)) == 2);
  CHECK(MoreFit(100, Fixed(21), Model(), Charge(30, 10)) == 1);
  CHECK(MoreFit(100, Fixed(101), Model(), Charge(1, 0)) == 0);
  CHECK(MoreFit(100, Fixed(kMax), Model(), Charge(1, 0)) == 0);
  CHECK(MoreFit(kMax, Fixed(0), Model(), Charge(1, 0)) == kMax);
  CHECK(MoreFit(kMax, Fixed(0), Model(), Charge(0, 0)) == 0);
}

TEST_CASE("a refusal says what was needed, what there was and when to try again (I6)") {
  const Status status = Admit(100 * kMiB, Fixed(60 * kMiB), Model(), Charge(64 * kMiB, 16 * kMiB));
  CHECK(status.code() == StatusCode::kResourceExhausted);
  const auto detail = GetErrorDetail(status);
  REQUIRE(detail);
  CHECK(detail->reason == "MEMORY_EXHAUSTED");
  CHECK(detail->needed == "83886080 bytes");
  CHECK(detail->available == "41943040 bytes");
  CHECK(detail->retry_after.has_value());
  CHECK(ToLogString(status).find("80 MiB (64 MiB for its program and 16 MiB for its runtime)") !=
        std::string::npos);

  const auto hopeless = GetErrorDetail(Admit(100, Fixed(0), Model(), Charge(101, 0)));
  CHECK_FALSE(hopeless->retry_after.has_value());  // it does not fit an empty node either
  CHECK(GetErrorDetail(Admit(100, Fixed(kMax), Model(), Charge(1, 0)))->available == "0 bytes");
}

TEST_CASE("a burstable sandbox is charged what is set aside for it, and its runtime") {
  const Memory memory = Charge(256 * kMiB, 16 * kMiB, 64 * kMiB);
  CHECK(memory.cgroup_max_bytes == 272 * kMiB);
  CHECK_FALSE(IsGuaranteed(memory));
  CHECK(ChargedBytes(memory) == 80 * kMiB);
  CHECK(IsGuaranteed(Charge(256 * kMiB, 16 * kMiB, 256 * kMiB)));
  CHECK(ChargedBytes(Charge(256 * kMiB, 16 * kMiB, 256 * kMiB)) == 272 * kMiB);
  Holdings holdings;
  holdings.Add(memory, "image", {}, 3);
  holdings.Add(Charge(kMiB, kMiB), "image", {});
  CHECK(holdings.ChargedBytes() == 242 * kMiB);
  CHECK(RequiredBytes(holdings, Model()) >= 242 * kMiB);
  CHECK(RequiredBytes(holdings, Model()) <= 3 * 272 * kMiB + 2 * kMiB);
}

TEST_CASE("burstable sandboxes fit where guaranteed ones would not, as many as MoreFit says") {
  const int64_t allocatable = 8 * kGiB;
  const Memory guaranteed = Charge(512 * kMiB, 16 * kMiB);
  const Memory burstable = Charge(512 * kMiB, 16 * kMiB, 128 * kMiB);
  // Seen often, and steady at 128 MiB.
  const auto used = static_cast<double>(128 * kMiB);
  const UsageMoments seen{.weight = 500, .mean_sum = 500 * used, .square_sum = 500 * used * used};
  const int64_t as_guaranteed = MoreFit(allocatable, {}, Model(), guaranteed);
  CHECK(as_guaranteed == 15);
  const int64_t unseen = MoreFit(allocatable, {}, Model(), burstable, "image");
  const int64_t known = MoreFit(allocatable, {}, Model(), burstable, "image", seen);
  CHECK(unseen >= as_guaranteed);
  CHECK(known > 2 * as_guaranteed);
  CHECK(known <= allocatable / ChargedBytes(burstable));
  Holdings holdings;
  int64_t admitted = 0;
  while (Admit(allocatable, holdings, Model(), burstable, "image", seen).ok()) {
    holdings.Add(burstable, "image", seen);
    ++admitted;
  }
  CHECK(admitted == known);
  const auto detail =
      GetErrorDetail(Admit(allocatable, holdings, Model(), burstable, "image", seen));
  REQUIRE(detail);
  CHECK(detail->reason == "MEMORY_EXHAUSTED");
  CHECK(detail->retry_after.has_value());
  // A guaranteed one does not get in through what is kept for bursts.
  const int64_t free = allocatable - RequiredBytes(holdings, Model());
  CHECK_FALSE(Admit(allocatable, holdings, Model(), Charge(free + 1, 0)).ok());
  CHECK(Admit(allocatable, holdings, Model(), Charge(free, 0)).ok());
}

TEST_CASE("reserves that are not set scale down on a tiny machine") {
  const Reserves large = ResolveReserves({}, 64 * kGiB);
  CHECK(large.system_bytes == kGiB);
  CHECK(large.agent_bytes == 64 * kMiB);
  CHECK(large.eviction_bytes == 100 * kMiB);
  const Reserves tiny = ResolveReserves({}, 128 * kMiB);
  CHECK(tiny.system_bytes + tiny.agent_bytes + tiny.eviction_bytes <= 64 * kMiB);
  const Reserves set = ResolveReserves({.system_bytes = kMiB, .eviction_bytes = 0}, 64 * kGiB);
  CHECK(set.system_bytes == kMiB);
  CHECK(set.eviction_bytes == 0);
  CHECK(set.agent_bytes == 64 * kMiB);
}

TEST_CASE("whatever is admitted and released, the sum of charges stays within allocatable (I2)") {
  rc::prop("random requests", [] {
    const auto size = [] {
      // Small, large and absurd alike.
      return *rc::gen::oneOf(rc::gen::inRange<int64_t>(0, 1000), rc::gen::inRange<int64_t>(0, kMax),
                             rc::gen::element(int64_t{kMax}, kMax - 1, kMax / 2));
    };
    const int64_t allocatable = Allocatable(size(), {.system_bytes = *rc::gen::inRange(0, 100)});
    std::vector<Memory> held;
    for (int step = *rc::gen::inRange(0, 60); step > 0; --step) {
      if (!held.empty() && *rc::gen::inRange(0, 3) == 0) {
        held.erase(held.begin() + *rc::gen::inRange<ptrdiff_t>(0, std::ssize(held)));
      }
      Holdings holdings;
      for (const Memory& memory : held) holdings.Add(memory, "image", {});
      const int64_t workload = size();
      // Guaranteed ones and burstable ones.
      const int64_t request = *rc::gen::element(int64_t{0}, workload / 2, workload / 10);
      const Memory next = Charge(workload, size(), request);
      if (Admit(allocatable, holdings, Model(), next, "image").ok()) held.push_back(next);
      // Exact: within allocatable the sum cannot have saturated on the way.
      uint64_t sum = 0;
      for (const Memory& memory : held) sum += static_cast<uint64_t>(ChargedBytes(memory));
      RC_ASSERT(sum <= static_cast<uint64_t>(allocatable));
    }
  });
}

}  // namespace
}  // namespace claw::budget
