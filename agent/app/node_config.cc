#include "agent/app/node_config.h"

#include "agent/app/vm_keys.h"
#include "agent/base/words.h"

namespace claw {
namespace {

double Share(int64_t percent) { return static_cast<double>(percent) / 100; }

}  // namespace

StatusOr<lifecycle::NodeConfig> MakeNodeConfig(const Config& config, const host::HostInfo& host) {
  lifecycle::NodeConfig node;
  node.node_id = config.node_id.empty() ? host.hostname : config.node_id;
  node.capacity_bytes = config.memory_bytes.value_or(host.memory_bytes);
  if (node.capacity_bytes > host.memory_bytes) {
    return InvalidArgument("node.memory is ", FormatBytes(node.capacity_bytes),
                           ", but this machine has only ", FormatBytes(host.memory_bytes));
  }
  node.role = config.role;
  node.capacity_follows = config.role == NodeRole::kGuest && !config.memory_bytes;
  ASSIGN_OR_RETURN(node.reserves, ResolveReserves(config, node.capacity_bytes));
  node.max_events = config.events_keep;
  node.node_class = config.node_class;
  node.rules = {.trusted_in_gvisor = config.trusted_class == IsolationClass::kGvisor,
                .accept_degraded = config.accept_degraded,
                .allow_overrides = config.allow_overrides,
                .require_signer = config.require_signer};
  for (const auto& [name, signer] : config.signers) node.signers.push_back(name);
  node.overhead.quantile = Share(config.overhead_quantile_percent);
  node.overhead.half_life = std::chrono::hours(config.overhead_half_life_hours);
  node.measure_interval = std::chrono::seconds(config.measure_seconds);
  node.measure_window = std::chrono::seconds(config.window_seconds);
  node.burst.epsilon = 1 / static_cast<double>(config.out_of_memory_one_in);
  node.dial.shrink_at = Share(config.pressure_shrink_percent);
  node.dial.refuse_at = Share(config.pressure_refuse_percent);
  node.dial.evict_at = Share(config.pressure_evict_percent);
  if (node.dial.shrink_at > node.dial.refuse_at || node.dial.refuse_at > node.dial.evict_at) {
    return InvalidArgument(
        "pressure.shrink_percent may not be above refuse_percent, nor that above evict_percent");
  }
  node.dial.calm_after = std::chrono::seconds(config.pressure_calm_seconds);
  node.dial.short_bytes = node.reserves.eviction_bytes;
  node.eviction_grace = std::chrono::seconds(config.eviction_grace_seconds);
  node.caps = {.sandboxes = config.max_sandboxes,
               .by_driver = {{"runc", config.max_runc}, {"gvisor", config.max_gvisor}}};
  node.starts_per_cpu = {{"runc", config.runc_starts_per_cpu},
                         {"hardened", config.runc_starts_per_cpu},
                         {"gvisor", config.gvisor_starts_per_cpu}};
  node.start_queue = config.start_queue;
  ASSIGN_OR_RETURN(node.labels, ParsePairs(config.labels));
  ASSIGN_OR_RETURN(const auto taints, ParsePairs(config.taints));
  for (const auto& [key, value] : taints) node.taints.push_back({.key = key, .value = value});
  node.weights = {.fit = static_cast<double>(config.weight_fit),
                  .image = static_cast<double>(config.weight_image),
                  .spread = static_cast<double>(config.weight_spread),
                  .native = static_cast<double>(config.weight_native),
                  .warm = static_cast<double>(config.weight_warm)};
  node.allow_emulated = config.allow_emulated;
  node.cpu_overcommit_percent = config.cpu_overcommit_percent;
  node.min_free_disk_bytes = config.min_free_disk_bytes;
  node.allow_compat_baseline = config.compat_baseline;
  node.vms = MakeVmRules(config);
  node.max_override_time = std::chrono::hours(config.max_override_hours);
  return node;
}

}  // namespace claw
