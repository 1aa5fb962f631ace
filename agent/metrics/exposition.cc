#include "agent/metrics/exposition.h"

#include <prometheus/text_serializer.h>

#include <array>
#include <set>

#include "agent/metrics/families.h"

namespace claw::metrics {
namespace {

using lifecycle::Node;
using lifecycle::OverheadView;
using PacketCountOf = network::PacketCount network::NetworkCounters::*;

// An image's name in a label where it has no family: as long as people write them.
constexpr size_t kShortDigest = std::string_view("sha256:").size() + 12;
constexpr size_t kMaxClasses = 256;

double Seconds(Time time) { return static_cast<double>(ToMicros(time)) / 1e6; }

void AddNode(const Node& node, std::string_view version, Families& out) {
  out.Gauge("clawlet_info", "The agent: 1.");
  out.Add(int64_t{1}, {{"node", node.config().node_id},
                       {"version", version},
                       {"class", ToString(node.config().node_class)}});
  out.Gauge("clawlet_start_time_seconds", "When the agent began, in seconds since 1970.");
  out.Add(Seconds(node.started_at()));
  const std::vector<std::string> conditions = node.conditions();
  out.Gauge("clawlet_ready", "1 if nothing is wrong with the node, 0 otherwise.");
  out.Add(conditions.empty());
  out.Gauge("clawlet_conditions", "How many things are wrong with the node; /healthz names them.");
  out.Add(static_cast<int64_t>(conditions.size()));
}

void AddMemory(const Node& node, Families& out) {
  const lifecycle::MemoryView memory = node.memory();
  out.Gauge("clawlet_memory_capacity_bytes", "Memory that the node has.");
  out.Add(memory.capacity_bytes);
  out.Gauge("clawlet_memory_reserved_bytes", "What of the capacity is kept from tenants.");
  out.Add(memory.reserved_bytes);
  out.Gauge("clawlet_memory_allocatable_bytes", "What of the capacity tenants may have.");
  out.Add(memory.allocatable_bytes);
  out.Gauge("clawlet_memory_required_bytes",
            "What admission keeps: the charges, and what burstable sandboxes need beyond theirs.");
  out.Add(memory.required_bytes);
  out.Gauge(
      "clawlet_memory_charged_bytes",
      "What is charged now: to workloads, for the overhead of runtimes, for tests of images.");
  out.Add(memory.charged_workload_bytes, {{"kind", "workload"}});
  out.Add(memory.charged_overhead_bytes, {{"kind", "overhead"}});
  out.Add(memory.charged_test_bytes, {{"kind", "test"}});
}

void AddBurst(const Node& node, Families& out) {
  const budget::BurstNeed need = node.burst_need();
  out.Gauge("clawlet_burst_sandboxes", "Burstable sandboxes that are charged.");
  out.Add(need.sandboxes);
  out.Gauge("clawlet_burst_requests_bytes", "Sum of what burstable sandboxes requested.");
  out.Add(need.requests_bytes);
  out.Gauge("clawlet_burst_limits_bytes", "Sum of what burstable sandboxes may use at most.");
  out.Add(need.limits_bytes);
  out.Gauge("clawlet_burst_need_bytes", "What admission keeps for burstable sandboxes together.");
  out.Add(need.bytes);
  const budget::BurstModel& model = node.burst_model();
  out.Gauge("clawlet_burst_epsilon_ratio",
            "The chance of wanting more that admission now works with.");
  out.Add(model.epsilon());
  out.Counter("clawlet_burst_looks_total", "Looks at what burstable sandboxes use together.");
  out.Add(model.looks());
  out.Counter("clawlet_burst_misses_total", "Looks at which they used more than was kept.");
  out.Add(model.misses());
}

void AddTally(const lifecycle::Tally& tally, Families& out) {
  out.Gauge("clawlet_images", "Images on this node.");
  out.Add(tally.images);
  out.Gauge("clawlet_sandboxes", "Sandboxes of which there is a record.");
  for (const auto& [key, count] : tally.sandboxes) {
    out.Add(count, {{"driver", key.first}, {"state", ToString(key.second)}});
  }
  out.Gauge("clawlet_tenant_sandboxes", "A tenant's sandboxes that are charged.");
  for (const auto& [name, tenant] : tally.tenants) out.Add(tenant.sandboxes, {{"tenant", name}});
  out.Gauge("clawlet_tenant_charged_workload_bytes",
            "What a tenant is charged now for its workloads.");
  for (const auto& [name, tenant] : tally.tenants) {
    out.Add(tenant.charged_workload_bytes, {{"tenant", name}});
  }
  out.Gauge("clawlet_tenant_charged_overhead_bytes",
            "What a tenant is charged now for the overhead of runtimes.");
  for (const auto& [name, tenant] : tally.tenants) {
    out.Add(tenant.charged_overhead_bytes, {{"tenant", name}});
  }
  out.Counter(
      "clawlet_tenant_workload_byte_seconds_total",
      "Bytes times seconds that a tenant was charged for its workloads, since it was made.");
  for (const auto& [name, tenant] : tally.tenants) {
    out.Add(tenant.charged.workload, {{"tenant", name}});
  }
  out.Counter("clawlet_tenant_overhead_byte_seconds_total",
              "Bytes times seconds that a tenant was charged for overhead, since it was made.");
  for (const auto& [name, tenant] : tally.tenants) {
    out.Add(tenant.charged.overhead, {{"tenant", name}});
  }
}

void AddPressure(const lifecycle::ConcurrencyView& view, Families& out) {
  out.Gauge("clawlet_pressure_known", "1 if the kernel says how the memory is doing.");
  out.Add(view.problem.empty());
  out.Gauge("clawlet_pressure_band", "1 for the band in which the node is.");
  for (const PressureBand band :
       {PressureBand::kCalm, PressureBand::kShrink, PressureBand::kRefuse, PressureBand::kEvict}) {
    out.Add(view.band == band, {{"band", ToString(band)}});
  }
  out.Gauge("clawlet_pressure_stall_ratio", "Share of time in which some task waits for memory.");
  out.Add(view.stall);
  out.Gauge("clawlet_pressure_short", "1 if there is no memory left.");
  out.Add(view.is_short);
  out.Gauge("clawlet_pressure_explained",
            "1 if the stall is that of sandboxes at their own limits.");
  out.Add(view.explained);
  out.Gauge("clawlet_sandboxes_limit", "How many may run, as long as pressure sets a limit.");
  if (view.limit) out.Add(*view.limit);
}

void AddStarts(const Node& node, const lifecycle::ConcurrencyView& view, Families& out) {
  using Starts = lifecycle::ConcurrencyView::Starts;
  const std::vector<Starts>& now = view.starts;
  out.Gauge("clawlet_starts_limit", "Starts that may be under way at once.");
  for (const Starts& one : now) out.Add(one.at_once, {{"driver", one.driver}});
  out.Gauge("clawlet_starts_under_way", "Starts that are under way.");
  for (const Starts& one : now) out.Add(one.under_way, {{"driver", one.driver}});
  out.Gauge("clawlet_starts_queued", "Starts that wait for their turn.");
  for (const Starts& one : now) out.Add(one.queued, {{"driver", one.driver}});

  // With those drivers that have not started anything: a rate needs a zero to begin with.
  auto starts = node.counters().starts;
  for (const lifecycle::DriverState& state : node.drivers()) {
    starts.try_emplace(std::string(state.driver->name()));
  }
  out.Counter("clawlet_starts_total", "Starts that have come to an end, by how.");
  for (const auto& [driver, count] : starts) {
    out.Add(count.running, {{"driver", driver}, {"outcome", "running"}});
    out.Add(count.failed, {{"driver", driver}, {"outcome", "failed"}});
  }
  out.Histogram("clawlet_start_duration_seconds",
                "From the reservation of a sandbox until it was proven to run.");
  for (const auto& [driver, count] : starts) out.Add(count.took, {{"driver", driver}});
}

void AddCounters(const lifecycle::Counters& counters, Families& out) {
  out.Counter("clawlet_start_refusals_total", "Starts that were refused, by the error's reason.");
  for (const auto& [reason, count] : counters.refusals) out.Add(count, {{"reason", reason}});
  out.Counter("clawlet_exits_total", "Sandboxes that ran and have ended, by why.");
  for (const auto& [key, count] : counters.exits) {
    out.Add(count, {{"driver", key.first}, {"reason", key.second}});
  }
  out.Counter("clawlet_evictions_total",
              "Sandboxes that ended because the node was short of memory.");
  out.Add(counters.evictions);
  out.Counter("clawlet_oom_kills_total", "Sandboxes that the kernel stopped at their limit.");
  out.Add(counters.oom_kills);
}

void AddDrivers(const Node& node, Families& out) {
  const std::vector<lifecycle::DriverState>& drivers = node.drivers();
  out.Gauge("clawlet_driver_healthy", "1 if sandboxes can be started under this driver.");
  for (const auto& state : drivers) {
    out.Add(state.fingerprint.healthy, {{"driver", state.driver->name()}});
  }
  out.Gauge("clawlet_driver_info", "The runtime of a driver: 1.");
  for (const auto& state : drivers) {
    out.Add(int64_t{1}, {{"driver", state.driver->name()},
                         {"version", state.fingerprint.runtime_version},
                         {"platform", state.fingerprint.platform}});
  }
}

// Classes of the runtimes that are in use now; others can no longer get new sandboxes.
std::vector<OverheadView> CurrentClasses(const Node& node) {
  std::set<std::array<std::string, 3>> current;
  for (const lifecycle::DriverState& state : node.drivers()) {
    if (!state.fingerprint.healthy) continue;
    current.insert({std::string(state.driver->name()), state.fingerprint.runtime_version,
                    state.fingerprint.platform});
  }
  std::vector<OverheadView> classes = node.ListOverheads();
  std::erase_if(classes, [&](const OverheadView& one) {
    const SandboxClass& what = one.sandboxes;
    return current.count({what.driver, what.runtime_version, what.platform}) == 0;
  });
  return classes;
}

// Two classes of one runtime never have the same labels.
struct ClassLabels {
  explicit ClassLabels(const SandboxClass& what)
      : driver(what.driver), family(what.image_family), image(what.image_digest) {
    if (image.size() > kShortDigest) image.resize(kShortDigest);
  }
  auto operator<=>(const ClassLabels&) const = default;

  std::string driver;
  std::string family;
  std::string image;
};

void AddClasses(const Node& node, Families& out) {
  std::map<ClassLabels, budget::OverheadEstimate> shown;
  int64_t omitted = 0;
  for (OverheadView& one : CurrentClasses(node)) {
    const bool fits = shown.size() < kMaxClasses &&
                      shown.try_emplace(ClassLabels(one.sandboxes), one.estimate).second;
    if (!fits) ++omitted;
  }
  out.Gauge("clawlet_class_overhead_bytes",
            "What the next sandbox of an image is charged for the overhead of its runtime.");
  for (const auto& [labels, estimate] : shown) {
    out.Add(estimate.bytes,
            {{"driver", labels.driver}, {"family", labels.family}, {"image", labels.image}});
  }
  out.Gauge("clawlet_class_overhead_prior_bytes",
            "What it would be charged if nothing were known.");
  for (const auto& [labels, estimate] : shown) {
    out.Add(estimate.prior_bytes,
            {{"driver", labels.driver}, {"family", labels.family}, {"image", labels.image}});
  }
  out.Gauge("clawlet_classes_omitted", "Classes beyond the first 256, of which nothing is told.");
  out.Add(omitted);
}

void AddNetwork(lifecycle::NetworkKeeper& network, Families& out) {
  using network::NetworkCounters;
  struct Kind {
    PacketCountOf count;
    std::string_view direction;
    std::string_view verdict;
  };
  constexpr Kind kKinds[] = {{&NetworkCounters::sent, "egress", "seen"},
                             {&NetworkCounters::received, "ingress", "passed"},
                             {&NetworkCounters::egress_denied, "egress", "denied"},
                             {&NetworkCounters::ingress_denied, "ingress", "denied"},
                             {&NetworkCounters::spoofed, "egress", "spoofed"},
                             {&NetworkCounters::egress_limited, "egress", "limited"},
                             {&NetworkCounters::ingress_limited, "ingress", "limited"}};
  out.Gauge("clawlet_network_sandboxes", "Sandboxes that are connected.");
  out.Add(network.attached());
  out.Gauge("clawlet_network_addresses", "Addresses for sandboxes; 0 as long as nobody wants one.");
  out.Add(network.addresses());
  out.Gauge("clawlet_network_protected", "1 if the rules of all sandboxes are in force.");
  out.Add(network.problem().empty());
  out.Counter("clawlet_network_packets_total", "Packets of a tenant's sandboxes, by their fate.");
  for (const auto& [tenant, counters] : network.totals()) {
    for (const Kind& kind : kKinds) {
      out.Add((counters.*kind.count).packets,
              {{"tenant", tenant}, {"direction", kind.direction}, {"verdict", kind.verdict}});
    }
  }
  out.Counter("clawlet_network_bytes_total", "Their bytes.");
  for (const auto& [tenant, counters] : network.totals()) {
    for (const Kind& kind : kKinds) {
      out.Add((counters.*kind.count).bytes,
              {{"tenant", tenant}, {"direction", kind.direction}, {"verdict", kind.verdict}});
    }
  }
}

}  // namespace

std::vector<prometheus::MetricFamily> Collect(Node& node, std::string_view version) {
  Families out;
  AddNode(node, version, out);
  AddMemory(node, out);
  AddBurst(node, out);
  AddTally(node.TakeTally(), out);
  const lifecycle::ConcurrencyView concurrency = node.concurrency();
  AddPressure(concurrency, out);
  AddStarts(node, concurrency, out);
  AddCounters(node.counters(), out);
  AddDrivers(node, out);
  AddClasses(node, out);
  AddNetwork(node.network(), out);
  return out.Take();
}

std::string Expose(Node& node, std::string_view version) {
  return prometheus::TextSerializer().Serialize(Collect(node, version));
}

}  // namespace claw::metrics
