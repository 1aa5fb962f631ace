#include "agent/placement/occupancy.h"

#include <limits>

namespace claw::placement {

int64_t ClampBytes(absl::int128 value) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  if (value > kMost) return kMost;
  return value < 0 ? 0 : static_cast<int64_t>(value);
}

void Occupancy::Put(const Sandbox& sandbox) {
  Drop(sandbox.id);
  const bool active = !IsTerminal(sandbox.state);
  if (sandbox.released && !active) return;
  Item item{.tenant = sandbox.spec.tenant,
            .driver = sandbox.driver,
            .charged = !sandbox.released,
            .active = active,
            .memory = sandbox.resources.memory,
            .cpu_millis = sandbox.spec.cpu_millis,
            .exclusive = sandbox.spec.exclusive,
            .avoided = sandbox.spec.avoid_tenants};
  if (!IsGuaranteed(item.memory)) {
    item.group = {.driver = sandbox.driver,
                  .image_digest = sandbox.image_digest,
                  .runtime_version = sandbox.runtime_version,
                  .platform = sandbox.platform,
                  .request_bytes = item.memory.request_bytes,
                  .limit_bytes = item.memory.workload_bytes};
  }
  Count(item, 1);
  items_.emplace(sandbox.id, std::move(item));
}

void Occupancy::Drop(const std::string& id) {
  const auto it = items_.find(id);
  if (it == items_.end()) return;
  Count(it->second, -1);
  items_.erase(it);
}

void Occupancy::Count(const Item& item, int64_t sign) {
  if (item.active) {
    active_.sandboxes += sign;
    const auto driver = active_.by_driver.try_emplace(item.driver, 0).first;
    driver->second += sign;
    if (driver->second == 0) active_.by_driver.erase(driver);
  }
  if (!item.charged) return;
  const absl::int128 factor = sign;
  overhead_bytes_ += factor * item.memory.overhead_bytes;
  cpu_millis_ += factor * item.cpu_millis;
  if (IsGuaranteed(item.memory)) {
    guaranteed_bytes_ += factor * item.memory.cgroup_max_bytes;
  } else {
    burst_request_bytes_ += factor * item.memory.request_bytes;
    burst_overhead_bytes_ += factor * item.memory.overhead_bytes;
    const auto group = burstable_.try_emplace(item.group).first;
    group->second.count += sign;
    group->second.overhead_bytes += factor * item.memory.overhead_bytes;
    if (group->second.count == 0) burstable_.erase(group);
  }
  const auto share = shares_.try_emplace(item.tenant).first;
  share->second.sandboxes += sign;
  share->second.workload_bytes += factor * item.memory.workload_bytes;
  share->second.cpu_millis += factor * item.cpu_millis;
  share->second.exclusive += item.exclusive ? sign : 0;
  if (item.exclusive || !item.avoided.empty()) wishes_ += sign;
  for (const std::string& avoided : item.avoided) {
    const auto one = share->second.avoided.try_emplace(avoided, 0).first;
    one->second += sign;
    if (one->second == 0) share->second.avoided.erase(one);
  }
  if (share->second.sandboxes == 0) shares_.erase(share);
}

int64_t Occupancy::charged_bytes() const {
  return ClampBytes(guaranteed_bytes_ + burst_request_bytes_ + burst_overhead_bytes_);
}

int64_t Occupancy::charged_overhead_bytes() const { return ClampBytes(overhead_bytes_); }

int64_t Occupancy::cpu_millis() const { return ClampBytes(cpu_millis_); }

int64_t Occupancy::guaranteed_bytes() const { return ClampBytes(guaranteed_bytes_); }

const Share* Occupancy::Of(const std::string& tenant) const {
  const auto it = shares_.find(tenant);
  return it == shares_.end() ? nullptr : &it->second;
}

std::string Occupancy::TenantOf(const std::string& id) const {
  const auto it = items_.find(id);
  return it == items_.end() ? "" : it->second.tenant;
}

std::string Occupancy::OtherThan(const std::string& tenant) const {
  for (const auto& [name, share] : shares_) {
    if (name != tenant) return name;
  }
  return "";
}

}  // namespace claw::placement
