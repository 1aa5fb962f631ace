#include "agent/budget/ledger.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <limits>
#include <vector>

namespace claw::budget {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

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
  CHECK(Admit(100, 60, Charge(30, 10)).ok());
  CHECK_FALSE(Admit(100, 60, Charge(30, 11)).ok());
  CHECK_FALSE(Admit(0, 0, Charge(1, 0)).ok());
  CHECK_FALSE(Admit(kMax - 1, 0, Charge(kMax, 0)).ok());
  CHECK_FALSE(Admit(100, kMax, Charge(1, 0)).ok());
  CHECK_FALSE(Admit(100, 101, Charge(1, 0)).ok());  // reserves were raised under what runs
}

TEST_CASE("as many more fit as are admitted one after the other") {
  CHECK(MoreFit(100, 20, Charge(30, 10)) == 2);
  CHECK(MoreFit(100, 21, Charge(30, 10)) == 1);
  CHECK(MoreFit(100, 101, Charge(1, 0)) == 0);
  CHECK(MoreFit(100, kMax, Charge(1, 0)) == 0);
  CHECK(MoreFit(kMax, 0, Charge(1, 0)) == kMax);
  CHECK(MoreFit(kMax, 0, Charge(0, 0)) == 0);
}

TEST_CASE("a refusal says what was needed, what there was and when to try again (I6)") {
  const Status status = Admit(100 * kMiB, 60 * kMiB, Charge(64 * kMiB, 16 * kMiB));
  CHECK(status.code() == StatusCode::kResourceExhausted);
  const auto detail = GetErrorDetail(status);
  REQUIRE(detail);
  CHECK(detail->reason == "MEMORY_EXHAUSTED");
  CHECK(detail->needed == "83886080 bytes");
  CHECK(detail->available == "41943040 bytes");
  CHECK(detail->retry_after.has_value());
  CHECK(ToLogString(status).find("80 MiB (64 MiB for its program and 16 MiB for its runtime)") !=
        std::string::npos);

  const auto hopeless = GetErrorDetail(Admit(100, 0, Charge(101, 0)));
  CHECK_FALSE(hopeless->retry_after.has_value());  // it does not fit an empty node either
  CHECK(GetErrorDetail(Admit(100, kMax, Charge(1, 0)))->available == "0 bytes");
}

TEST_CASE("whatever is admitted and released, the sum of charges stays within allocatable (I2)") {
  rc::prop("random requests", [] {
    const auto size = [] {
      // Small, large and absurd alike.
      return *rc::gen::oneOf(rc::gen::inRange<int64_t>(0, 1000), rc::gen::inRange<int64_t>(0, kMax),
                             rc::gen::element(int64_t{kMax}, kMax - 1, kMax / 2));
    };
    const int64_t allocatable = Allocatable(size(), {.system_bytes = *rc::gen::inRange(0, 100)});
    std::vector<int64_t> charges;
    for (int step = *rc::gen::inRange(0, 60); step > 0; --step) {
      if (!charges.empty() && *rc::gen::inRange(0, 3) == 0) {
        charges.erase(charges.begin() + *rc::gen::inRange<ptrdiff_t>(0, std::ssize(charges)));
      }
      int64_t charged = 0;
      for (const int64_t charge : charges) charged = SaturatingAdd(charged, charge);
      const Memory memory = Charge(size(), size());
      if (Admit(allocatable, charged, memory).ok()) charges.push_back(memory.cgroup_max_bytes);
      // Exact: within allocatable the sum cannot have saturated on the way.
      uint64_t sum = 0;
      for (const int64_t charge : charges) sum += static_cast<uint64_t>(charge);
      RC_ASSERT(sum <= static_cast<uint64_t>(allocatable));
    }
  });
}

}  // namespace
}  // namespace claw::budget
