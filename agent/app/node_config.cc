#include "agent/app/node_config.h"

namespace claw {

StatusOr<lifecycle::NodeConfig> MakeNodeConfig(const Config& config, const host::HostInfo& host) {
  lifecycle::NodeConfig node;
  node.node_id = config.node_id.empty() ? host.hostname : config.node_id;
  node.capacity_bytes = config.memory_bytes.value_or(host.memory_bytes);
  if (node.capacity_bytes > host.memory_bytes) {
    return InvalidArgument("node.memory is ", FormatBytes(node.capacity_bytes),
                           ", but this machine has only ", FormatBytes(host.memory_bytes));
  }
  ASSIGN_OR_RETURN(node.reserves, ResolveReserves(config, node.capacity_bytes));
  node.max_events = config.events_keep;
  node.node_class = config.node_class;
  node.rules = {.trusted_in_gvisor = config.trusted_class == IsolationClass::kGvisor,
                .accept_degraded = config.accept_degraded,
                .allow_overrides = config.allow_overrides,
                .require_signer = config.require_signer};
  for (const auto& [name, signer] : config.signers) node.signers.push_back(name);
  node.overhead.quantile = static_cast<double>(config.overhead_quantile_percent) / 100;
  node.overhead.half_life = std::chrono::hours(config.overhead_half_life_hours);
  node.measure_interval = std::chrono::seconds(config.measure_seconds);
  node.measure_window = std::chrono::seconds(config.window_seconds);
  node.allow_compat_baseline = config.compat_baseline;
  node.max_override_time = std::chrono::hours(config.max_override_hours);
  return node;
}

}  // namespace claw
