#include "agent/placement/occupancy.h"

#include <rapidcheck/catch.h>
#include <catch2/catch.hpp>
#include <limits>

#include "tests/unit/placement/world.h"

namespace claw::placement {
namespace {

using Live = std::map<std::string, Sandbox>;

bool IsCharged(const Sandbox& sandbox) { return !sandbox.released; }

absl::int128 Sum(const Live& live, int64_t (*of)(const Sandbox&)) {
  absl::int128 sum = 0;
  for (const auto& [id, sandbox] : live) sum += IsCharged(sandbox) ? of(sandbox) : 0;
  return sum;
}

void CheckSums(const Occupancy& held, const Live& live) {
  RC_ASSERT(held.charged_bytes() == ClampBytes(Sum(live, [](const Sandbox& one) {
              return ChargedBytes(one.resources.memory);
            })));
  RC_ASSERT(held.guaranteed_bytes() == ClampBytes(Sum(live, [](const Sandbox& one) {
              const Memory& memory = one.resources.memory;
              return IsGuaranteed(memory) ? memory.cgroup_max_bytes : 0;
            })));
  RC_ASSERT(held.charged_overhead_bytes() == ClampBytes(Sum(live, [](const Sandbox& one) {
              return one.resources.memory.overhead_bytes;
            })));
  RC_ASSERT(held.cpu_millis() ==
            ClampBytes(Sum(live, [](const Sandbox& one) { return one.spec.cpu_millis; })));
}

void CheckGroups(const Occupancy& held, const Live& live) {
  std::map<BurstGroup, Occupancy::Group> groups;
  for (const auto& [id, one] : live) {
    const Memory& memory = one.resources.memory;
    if (!IsCharged(one) || IsGuaranteed(memory)) continue;
    Occupancy::Group& group = groups[{.driver = one.driver,
                                      .image_digest = one.image_digest,
                                      .runtime_version = one.runtime_version,
                                      .platform = one.platform,
                                      .request_bytes = memory.request_bytes,
                                      .limit_bytes = memory.workload_bytes}];
    ++group.count;
    group.overhead_bytes += memory.overhead_bytes;
  }
  RC_ASSERT(held.burstable().size() == groups.size());
  for (const auto& [key, group] : groups) {
    const auto it = held.burstable().find(key);
    RC_ASSERT(it != held.burstable().end());
    RC_ASSERT(it->second.count == group.count);
    RC_ASSERT(it->second.overhead_bytes == group.overhead_bytes);
  }
}

void CheckTenants(const Occupancy& held, const Live& live) {
  std::map<std::string, Share> shares;
  bool wishes = false;
  for (const auto& [id, one] : live) {
    if (!IsCharged(one)) continue;
    Share& share = shares[one.spec.tenant];
    ++share.sandboxes;
    share.workload_bytes += one.resources.memory.workload_bytes;
    share.cpu_millis += one.spec.cpu_millis;
    share.exclusive += one.spec.exclusive ? 1 : 0;
    for (const std::string& avoided : one.spec.avoid_tenants) ++share.avoided[avoided];
    wishes = wishes || one.spec.exclusive || !one.spec.avoid_tenants.empty();
  }
  RC_ASSERT(held.has_wishes() == wishes);
  RC_ASSERT(held.shares().size() == shares.size());
  for (const auto& [tenant, share] : shares) {
    const Share* known = held.Of(tenant);
    RC_ASSERT(known != nullptr);
    RC_ASSERT(known->sandboxes == share.sandboxes);
    RC_ASSERT(known->workload_bytes == share.workload_bytes);
    RC_ASSERT(known->cpu_millis == share.cpu_millis);
    RC_ASSERT(known->exclusive == share.exclusive);
    RC_ASSERT(known->avoided == share.avoided);
  }
}

void CheckActive(const Occupancy& held, const Live& live) {
  budget::Counts active;
  size_t kept = 0;
  for (const auto& [id, one] : live) {
    if (IsCharged(one) || !IsTerminal(one.state)) ++kept;
    if (IsTerminal(one.state)) continue;
    ++active.sandboxes;
    ++active.by_driver[one.driver];
  }
  RC_ASSERT(held.size() == kept);
  RC_ASSERT(held.active().sandboxes == active.sandboxes);
  RC_ASSERT(held.active().by_driver == active.by_driver);
}

TEST_CASE("after whatever was put and dropped, an occupancy is the sum of what is there") {
  rc::prop("put and drop", [] {
    Occupancy held;
    Live live;
    for (int step = *rc::gen::inRange(0, 40); step > 0; --step) {
      const std::string id = std::to_string(*rc::gen::inRange(0, 8));
      if (*rc::gen::inRange(0, 3) == 0) {
        held.Drop(id);
        live.erase(id);
      } else {
        Sandbox sandbox = AnySandbox(id);
        // Never left behind by the agent, but a record may say so.
        if (*rc::gen::inRange(0, 10) == 0) sandbox.released = true;
        held.Put(sandbox);
        live.insert_or_assign(id, sandbox);
      }
    }
    CheckSums(held, live);
    CheckGroups(held, live);
    CheckTenants(held, live);
    CheckActive(held, live);
  });
}

TEST_CASE("sums of huge sizes stop at the largest number and come back from there") {
  constexpr int64_t kHuge = int64_t{1} << 62;
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  Occupancy held;
  for (int i = 0; i < 8; ++i) {
    Sandbox sandbox = Running(std::to_string(i), "acme", kHuge);
    sandbox.resources.memory.overhead_bytes = kHuge;
    sandbox.spec.cpu_millis = kHuge;
    held.Put(sandbox);
  }
  CHECK(held.charged_bytes() == kMost);
  CHECK(held.guaranteed_bytes() == kMost);
  CHECK(held.charged_overhead_bytes() == kMost);
  CHECK(held.cpu_millis() == kMost);
  CHECK(held.Of("acme")->workload_bytes == absl::int128(kHuge) * 8);
  for (int i = 1; i < 8; ++i) held.Drop(std::to_string(i));
  CHECK(held.charged_bytes() == kHuge);
  CHECK(held.cpu_millis() == kHuge);
}

TEST_CASE("a released sandbox holds nothing, one that has only ended is still charged") {
  Occupancy held;
  Sandbox sandbox = Running("1", "acme");
  sandbox.spec.exclusive = true;
  sandbox.spec.avoid_tenants = {"globex"};
  held.Put(sandbox);
  CHECK(held.active().Of("runc") == 1);
  sandbox.state = SandboxState::kExited;
  held.Put(sandbox);
  CHECK(held.active().sandboxes == 0);
  CHECK(held.active().by_driver.empty());
  CHECK(held.charged_bytes() == 64 * kMiB);
  CHECK(held.has_wishes());
  CHECK(held.OtherThan("globex") == "acme");
  sandbox.released = true;
  held.Put(sandbox);
  CHECK(held.size() == 0);
  CHECK(held.charged_bytes() == 0);
  CHECK_FALSE(held.has_wishes());
  CHECK(held.Of("acme") == nullptr);
  CHECK(held.OtherThan("globex").empty());
  held.Drop("1");
  held.Drop("never there");
  CHECK(held.size() == 0);
}

}  // namespace
}  // namespace claw::placement
