#pragma once

#include <absl/numeric/int128.h>

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/budget/ledger.h"
#include "agent/budget/limits.h"
#include "agent/model/sandbox.h"

namespace claw::placement {

// What one tenant holds on a target.
struct Share {
  int64_t sandboxes = 0;  // charged: not released
  absl::int128 workload_bytes = 0;
  absl::int128 cpu_millis = 0;
  int64_t exclusive = 0;                     // of them, those that want no other tenant beside them
  std::map<std::string, int64_t> avoided{};  // tenant that they avoid -> how many do
};

// Burstable sandboxes that are alike.
struct BurstGroup {
  std::string driver{};
  std::string image_digest{};
  std::string runtime_version{};
  std::string platform{};
  int64_t request_bytes = 0;
  int64_t limit_bytes = 0;

  auto operator<=>(const BurstGroup&) const = default;
};

// The sandboxes of one target in sums, so that a decision costs the same however many there are.
// There is no counter that anybody could forget: each sandbox is in the sums with what was last put
// under its id, and Put and Drop are the only ways to change them. Value type.
class Occupancy {
 public:
  // In the place of what is known under its id. A released one holds nothing.
  void Put(const Sandbox& sandbox);
  void Drop(const std::string& id);

  // Sum of ChargedBytes over all that are charged; saturates.
  int64_t charged_bytes() const;
  int64_t charged_overhead_bytes() const;
  int64_t guaranteed_bytes() const;  // of it, of the guaranteed ones
  // By (driver, image, …): how many, and the sum of their overhead.
  struct Group {
    int64_t count = 0;
    absl::int128 overhead_bytes = 0;
  };
  const std::map<BurstGroup, Group>& burstable() const { return burstable_; }
  int64_t cpu_millis() const;
  const budget::Counts& active() const { return active_; }  // those that have not ended
  // Tenants that hold anything.
  const std::map<std::string, Share>& shares() const { return shares_; }
  const Share* Of(const std::string& tenant) const;  // null: it holds nothing
  // Of the sandbox with this id; empty: it is not here.
  std::string TenantOf(const std::string& id) const;
  // A tenant other than this one; empty: there is none.
  std::string OtherThan(const std::string& tenant) const;
  // Somebody here wants to be alone, or keeps away from a tenant.
  bool has_wishes() const { return wishes_ > 0; }
  size_t size() const { return items_.size(); }

 private:
  struct Item {
    std::string tenant{};
    std::string driver{};
    bool charged = false;
    bool active = false;
    Memory memory{};
    int64_t cpu_millis = 0;
    bool exclusive = false;
    std::vector<std::string> avoided{};
    BurstGroup group{};  // of a burstable one
  };
  void Count(const Item& item, int64_t sign);

  std::unordered_map<std::string, Item> items_;
  absl::int128 guaranteed_bytes_ = 0;
  absl::int128 burst_request_bytes_ = 0;
  absl::int128 burst_overhead_bytes_ = 0;
  absl::int128 overhead_bytes_ = 0;
  absl::int128 cpu_millis_ = 0;
  std::map<BurstGroup, Group> burstable_;
  budget::Counts active_;
  std::map<std::string, Share> shares_;
  int64_t wishes_ = 0;
};

// Of a sum that may be larger than any size there is.
int64_t ClampBytes(absl::int128 value);

}  // namespace claw::placement
